//! The files of a checkpoint beside its tensors: tokenizer, generation config, chat template, custom code.
//!
//! They come from one model, the donor. What the recipe changes in them is the tokenizer and the chat template.

use super::publish::{Content, Extra};
use crate::{
    MergeError,
    checkpoint::{Sources, url},
    plan::Vocabulary,
    recipe::{ChatTemplate, most_common},
    tokenizer::{FILE, edited, is_fast, read_json, renumber, with_added},
};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

const TEMPLATE: &str = "chat_template.jinja";
const OLD_TEMPLATE: &str = "chat_template.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

const GENERATION_CONFIG: &str = "generation_config.json";

/// Those of [`NAMES`] that are not part of a tokenizer.
const OTHERS: [&str; 4] =
    [GENERATION_CONFIG, "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"];

/// What transformers writes beside the tensors and the config, for every kind of tokenizer and processor.
const NAMES: [&str; 18] = [
    "added_tokens.json",
    OLD_TEMPLATE,
    TEMPLATE,
    GENERATION_CONFIG,
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    FILE,
    "tokenizer.model",
    "tokenizer.model.v3",
    TOKENIZER_CONFIG,
    "video_preprocessor_config.json",
    "vocab.json",
    "vocab.txt",
    "source.spm",
];

/// The companions that the result gets from the model in `donor`.
///
/// # Errors
/// A folder or file that cannot be read.
pub(crate) fn companions(sources: &Sources, donor: &Path) -> Result<Vec<Extra>, MergeError> {
    // Of a folder that cannot be listed come those whose names are known.
    let mut names = sources.names(donor)?.unwrap_or_else(|| NAMES.map(str::to_owned).to_vec());
    names.retain(|name| NAMES.contains(&name.as_str()) || name.ends_with(".py"));
    names.sort();
    if url(donor).is_none() {
        let extra = |name: String| Extra { content: Content::CopyOf(donor.join(&name)), name };
        return Ok(names.into_iter().filter(|name| donor.join(name).is_file()).map(extra).collect());
    }
    let paths: Vec<PathBuf> = names.iter().map(|name| donor.join(name)).collect();
    sources.will_open(paths.iter().map(PathBuf::as_path));
    let fetched = |(name, path): (String, &PathBuf)| {
        Ok(sources.read_if_there(path)?.map(|bytes| Extra { name, content: Content::Text(bytes) }))
    };
    names.into_iter().zip(&paths).map(fetched).filter_map(Result::transpose).collect()
}

/// Gives the result this tokenizer instead of the donor's.
///
/// # Errors
/// A file that cannot be read, or has changed.
pub(crate) fn set_tokenizer(
    sources: &Sources,
    extras: &mut Vec<Extra>,
    donor: &Path,
    vocabulary: &Vocabulary,
) -> Result<(), MergeError> {
    let (file, additions) = (&vocabulary.file, &vocabulary.additions);
    if file.folder != donor {
        extras.retain(|extra| !is_of_tokenizer(&extra.name));
        extras.extend(companions(sources, &file.folder)?.into_iter().filter(|extra| is_of_tokenizer(&extra.name)));
    }
    if !additions.is_empty() {
        extras.retain(|extra| !is_of_tokenizer(&extra.name) || is_fast(&extra.name));
        let text = tokenizer_text(sources, vocabulary)?;
        for extra in extras.iter_mut().filter(|extra| extra.name == FILE) {
            extra.content = Content::Text(text.clone().into_bytes());
        }
        edit(sources, extras, TOKENIZER_CONFIG, |config| edited(config, additions))?;
    }
    match vocabulary.renumbered.is_empty() {
        true => Ok(()),
        false => edit(sources, extras, GENERATION_CONFIG, |config| renumber(config, &vocabulary.renumbered)),
    }
}

/// The text of the tokenizer of a vocabulary.
///
/// # Errors
/// A file that cannot be read, or has changed.
pub(crate) fn tokenizer_text(sources: &Sources, vocabulary: &Vocabulary) -> Result<String, MergeError> {
    let file = &vocabulary.file;
    let text = serde_json::to_string_pretty(&with_added(read_json(sources, &file.folder, file.digest)?, &vocabulary.additions));
    text.map_err(|error| MergeError::Task(format!("cannot write JSON: {error}")))
}

fn is_of_tokenizer(name: &str) -> bool {
    NAMES.contains(&name) && !OTHERS.contains(&name)
}

/// Changes a file of the result that is a JSON object, where there is one.
fn edit(sources: &Sources, extras: &mut [Extra], name: &str, change: impl Fn(&mut Map<String, Value>)) -> Result<(), MergeError> {
    for extra in extras.iter_mut().filter(|extra| extra.name == name) {
        let object = match &extra.content {
            Content::Text(text) | Content::Dated(text, _) => Some(object(Path::new(name), text)?),
            Content::CopyOf(path) => read_object(sources, path)?,
        };
        if let Some(mut object) = object {
            change(&mut object);
            extra.content = Content::Text(pretty(&object)?.into_bytes());
        }
    }
    Ok(())
}

/// The template that the recipe asks for; `None` where `auto` finds no model that has one.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn template(
    sources: &Sources,
    chosen: &ChatTemplate,
    models: &[impl AsRef<Path>],
) -> Result<Option<String>, MergeError> {
    let ChatTemplate::Auto = chosen else {
        let ChatTemplate::Text(text) = chosen else { return Ok(None) };
        return Ok(Some(text.clone()));
    };
    let templates = models.iter().map(|root| own_template(sources, root.as_ref())).collect::<Result<Vec<_>, _>>()?;
    Ok(most_common(templates.iter().flatten().map(String::as_str)).map(str::to_owned))
}

/// The chat template of a model, from where newer and older versions of transformers keep it.
fn own_template(sources: &Sources, root: &Path) -> Result<Option<String>, MergeError> {
    if let Some(text) = sources.read_if_there(&root.join(TEMPLATE))? {
        return Ok(String::from_utf8(text).ok());
    }
    let config = read_object(sources, &root.join(TOKENIZER_CONFIG))?;
    Ok(config.and_then(|config| config.get("chat_template")?.as_str().map(str::to_owned)))
}

/// Sets the chat template, in the file that transformers reads today and in the one that it used to read.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn set_template(sources: &Sources, extras: &mut Vec<Extra>, template: &str) -> Result<(), MergeError> {
    extras.retain(|extra| ![TEMPLATE, OLD_TEMPLATE].contains(&extra.name.as_str()));
    extras.push(Extra { name: TEMPLATE.into(), content: Content::Text(template.into()) });
    edit(sources, extras, TOKENIZER_CONFIG, |config| {
        config.insert("chat_template".into(), template.into());
    })
}

/// JSON as transformers writes it: two spaces, and a line break at the end.
pub(crate) fn pretty(object: &Map<String, Value>) -> Result<String, MergeError> {
    let text = serde_json::to_string_pretty(object);
    text.map(|text| text + "\n").map_err(|error| MergeError::Task(format!("cannot write JSON: {error}")))
}

fn read_object(sources: &Sources, path: &Path) -> Result<Option<Map<String, Value>>, MergeError> {
    sources.read_if_there(path)?.map(|text| object(path, &text)).transpose()
}

fn object(path: &Path, text: &[u8]) -> Result<Map<String, Value>, MergeError> {
    let wrong =
        |error| MergeError::Checkpoint { path: path.to_owned(), problem: format!("is not a JSON object: {error}"), hint: None };
    serde_json::from_slice(text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const MOUNTED: fn() -> Sources = Sources::mounted;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        folder
    }

    #[test]
    fn tokenizer_files_and_code_come_along_and_nothing_else() {
        let files =
            ["tokenizer.json", "modeling_x.py", "model.safetensors", "config.json", "README.md", "vocab.txt", "optimizer.pt"];
        let donor = folder(&files.map(|name| (name, "")));
        fs::create_dir(donor.path().join("tokenizer.model")).unwrap();
        let names: Vec<_> = companions(&MOUNTED(), donor.path()).unwrap().into_iter().map(|extra| extra.name).collect();
        assert_eq!(names, ["modeling_x.py", "tokenizer.json", "vocab.txt"]);
    }

    #[test]
    fn a_chosen_template_replaces_the_old_ones() {
        let donor = folder(&[
            (TOKENIZER_CONFIG, r#"{"eos_token": "x", "chat_template": "old"}"#),
            (OLD_TEMPLATE, "{}"),
            (TEMPLATE, "old"),
        ]);
        let mut extras = companions(&MOUNTED(), donor.path()).unwrap();
        set_template(&MOUNTED(), &mut extras, "{{ new }}").unwrap();
        let text = |name: &str| match &extras.iter().find(|extra| extra.name == name)?.content {
            Content::Text(text) => Some(String::from_utf8(text.clone()).unwrap()),
            Content::CopyOf(_) | Content::Dated(..) => None,
        };
        assert_eq!(text(TEMPLATE).unwrap(), "{{ new }}");
        assert_eq!(text(TOKENIZER_CONFIG).unwrap(), "{\n  \"eos_token\": \"x\",\n  \"chat_template\": \"{{ new }}\"\n}\n");
        assert!(!extras.iter().any(|extra| extra.name == OLD_TEMPLATE));
    }

    #[test]
    fn auto_asks_the_models() {
        let a = folder(&[(TEMPLATE, "a")]);
        let b = folder(&[(TOKENIZER_CONFIG, r#"{"chat_template": "b"}"#)]);
        let c = folder(&[(TOKENIZER_CONFIG, r#"{"chat_template": "b"}"#), ("x", "")]);
        let none = folder(&[]);
        let choose = |models: &[&tempfile::TempDir]| {
            let roots: Vec<_> = models.iter().map(|model| model.path()).collect();
            template(&MOUNTED(), &ChatTemplate::Auto, &roots).unwrap()
        };
        assert_eq!(choose(&[&a, &b, &c, &none]).as_deref(), Some("b"));
        assert_eq!(choose(&[&a, &b]).as_deref(), Some("a"));
        assert_eq!(choose(&[&none]), None);
        assert_eq!(template(&MOUNTED(), &ChatTemplate::Text("t".into()), &[none.path()]).unwrap().as_deref(), Some("t"));
    }
}
