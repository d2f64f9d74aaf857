//! Which module of a recipe a tensor belongs to, by its name.
//!
//! mergekit knows modules by architecture; here each well-known module has the prefixes under which models keep it, and any
//! other name stands for itself. The longest prefix wins, among those of the modules that the recipe lists.

/// Modules that mergekit's architectures have, with the beginnings of their tensors' names.
const KNOWN: [(&[&str], &[&str]); 6] = [
    (
        &["text_decoder"],
        &[
            "language_model.",
            "model.language_model.",
            "model.embed_tokens.",
            "model.layers.",
            "model.norm.",
            "model.rotary_emb.",
            "lm_head.",
        ],
    ),
    (
        &["vision_tower", "vision_model"],
        &["vision_tower.", "model.vision_tower.", "vision_model.", "model.vision_model.", "visual.", "model.visual."],
    ),
    (
        &["multi_modal_projector"],
        &[
            "multi_modal_projector.",
            "model.multi_modal_projector.",
            "visual.merger.",
            "model.visual.merger.",
            "model.visual.deepstack_merger_list.",
        ],
    ),
    (&["encoder"], &["encoder.", "model.encoder."]),
    (&["shared"], &["shared.", "lm_head."]),
    (&["decoder"], &["decoder.", "model.decoder.", "proj_out.", "lm_head."]),
];

/// The names that recipes can give to well-known modules.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().flat_map(|(names, _)| names.iter().copied())
}

/// Which of `modules` a tensor belongs to.
pub(super) fn owner(modules: &[&str], tensor: &str) -> Option<usize> {
    let claims = modules.iter().enumerate().filter_map(|(index, module)| Some((claim(module, tensor)?, rank(module), index)));
    claims.max_by_key(|(length, rank, _)| (*length, std::cmp::Reverse(*rank))).map(|(_, _, index)| index)
}

/// The length of the longest prefix by which a module claims a tensor.
fn claim(module: &str, tensor: &str) -> Option<usize> {
    let starts = |prefix: &str| tensor.starts_with(prefix).then_some(prefix.len());
    match KNOWN.iter().find(|(names, _)| names.contains(&module)) {
        Some((_, prefixes)) => prefixes.iter().filter_map(|prefix| starts(prefix)).max(),
        None => starts(&format!("model.{module}.")).or_else(|| starts(&format!("{module}."))),
    }
}

/// Among equal claims, the order of the table: an output layer that encoder-decoders share is `shared` where that is listed.
fn rank(module: &str) -> usize {
    KNOWN.iter().position(|(names, _)| names.contains(&module)).unwrap_or(KNOWN.len())
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn the_longest_prefix_of_the_listed_modules_owns_a_tensor() {
        let qwen = ["text_decoder", "vision_tower", "multi_modal_projector"];
        let t5 = ["decoder", "encoder", "shared"];
        let own = ["text_decoder", "audio"];
        for (modules, tensor, expected) in [
            (&qwen[..], "model.layers.0.mlp.up_proj.weight", Some(0)),
            (&qwen, "lm_head.weight", Some(0)),
            (&qwen, "visual.blocks.3.norm1.weight", Some(1)),
            (&qwen, "visual.merger.mlp.0.weight", Some(2)),
            (&qwen, "model.visual.deepstack_merger_list.0.norm.weight", Some(2)),
            (&qwen[..2], "visual.merger.mlp.0.weight", Some(1)),
            (&t5, "decoder.block.0.layer.0.layer_norm.weight", Some(0)),
            (&t5, "encoder.final_layer_norm.weight", Some(1)),
            (&t5, "lm_head.weight", Some(2)),
            (&t5[..2], "lm_head.weight", Some(0)),
            (&t5[..2], "shared.weight", None),
            (&own, "model.audio.layers.0.w", Some(1)),
            (&own, "audio.layers.0.w", Some(1)),
            (&own, "audiotape.w", None),
        ] {
            assert_eq!(owner(modules, tensor), expected, "{tensor} in {modules:?}");
        }
    }
}
