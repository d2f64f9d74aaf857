//! The model card: `README.md`, as model hubs show it.

use super::manifest::Provenance;

/// The text of the card. The first model is not special; `base` is its number where the recipe names one.
pub(crate) fn card(provenance: &Provenance<'_>, base: Option<usize>, digest: &str) -> String {
    let Provenance { braid, method, recipe, models, .. } = provenance;
    let mut list = String::new();
    for (index, model) in models.iter().enumerate() {
        let role = if base == Some(index) { " (base)" } else { "" };
        list += &format!("- `{model}`{role}\n");
    }
    let fence = fence(recipe);
    let newline = if recipe.ends_with('\n') { "" } else { "\n" };
    format!(
        "---\nlibrary_name: transformers\ntags:\n- merge\n- braid\n---\n\n\
         # A merge by `{method}`\n\n\
         Made of these checkpoints by Braid {braid}:\n\n{list}\n\
         The recipe:\n\n{fence}yaml\n{recipe}{newline}{fence}\n\n\
         `braid.json` has the BLAKE3 digest of every tensor that was read and written. The digest of all of them together is\n\
         `{digest}`.\n"
    )
}

/// More backticks than the text has in a row.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_models_recipe_and_version() {
        let recipe = "merge_method: ties\n# ```` in a comment";
        let provenance = Provenance { braid: "1.2", plan: "", method: "ties", seed: 0, models: vec!["base", "x/y"], recipe };
        let expected = "---\nlibrary_name: transformers\ntags:\n- merge\n- braid\n---\n\n# A merge by `ties`\n\n\
            Made of these checkpoints by Braid 1.2:\n\n- `base` (base)\n- `x/y`\n\nThe recipe:\n\n`````yaml\nmerge_method: ties\n\
            # ```` in a comment\n`````\n\n`braid.json` has the BLAKE3 digest of every tensor that was read and written. \
            The digest of all of them together is\n`abc`.\n";
        assert_eq!(card(&provenance, Some(0), "abc"), expected);
    }
}
