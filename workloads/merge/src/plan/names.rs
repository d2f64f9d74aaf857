//! What the name of a tensor says about where it sits: in a layer of a stack, before the layers, or after them.
//!
//! Braid has no table of architectures. A layer is a number after the name of a list (`model.layers.7.mlp.up_proj.weight` is
//! layer 7 of the stack `model.layers`); further numbers in the name, such as those of experts in a layer, mean nothing here.

use std::collections::BTreeMap;

/// Names that models give to lists of layers.
const LISTS: [&str; 9] =
    ["layers", "layer", "h", "blocks", "block", "transformer_blocks", "encoder_layers", "decoder_layers", "resblocks"];

/// Parts of the names of tensors that are used before the first layer; all others outside of layers are used after the last.
const HEADS: [&str; 12] = [
    "embed",
    "wte",
    "wpe",
    "embd",
    "rotary",
    "relative_pe",
    "patch_conv",
    "ln_pre",
    "layernorm_pre",
    "pre_layrnorm",
    "conv1",
    "conv2",
];

/// Parts of names that would be taken for embeddings and are outputs.
const TAILS: [&str; 2] = ["embed_out", "unembed"];

/// A layer number beyond this is no layer number.
const MAX_LAYER: u32 = 65_535;

/// The place of a tensor in a stack of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InLayer<'a> {
    /// The name up to the number: `model.layers`.
    pub(super) stack: &'a str,
    /// The number.
    pub(super) layer: u32,
    /// What follows the number: `mlp.up_proj.weight`.
    pub(super) rest: &'a str,
}

/// The tensors of a model, or of a module of one, by their places.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Anatomy<'a> {
    /// Used before the layers.
    pub(super) head: Vec<&'a str>,
    /// For each stack and layer, what follows the number in the names.
    pub(super) stacks: BTreeMap<&'a str, BTreeMap<u32, Vec<&'a str>>>,
    /// Used after the layers.
    pub(super) tail: Vec<&'a str>,
}

/// The layer that a tensor of this name is part of.
pub(super) fn layer(name: &str) -> Option<InLayer<'_>> {
    let mut before: Option<&str> = None;
    let mut start = 0;
    for part in name.split('.') {
        let end = start + part.len();
        if before.is_some_and(|list| LISTS.contains(&list))
            && let Some(layer) = number(part)
        {
            // the list's name and a dot come before the number
            let stack = &name[..start - 1];
            return Some(InLayer { stack, layer, rest: name.get(end + 1..).unwrap_or("") });
        }
        before = Some(part);
        start = end + 1;
    }
    None
}

/// A number as models write it, without leading zeros: another spelling could not be renumbered.
fn number(part: &str) -> Option<u32> {
    let canonical = part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
    part.parse().ok().filter(|number| canonical && *number <= MAX_LAYER)
}

/// The name of a tensor in a layer.
pub(super) fn join(stack: &str, layer: u32, rest: &str) -> String {
    if rest.is_empty() { format!("{stack}.{layer}") } else { format!("{stack}.{layer}.{rest}") }
}

/// Whether a tensor outside of layers is used before them.
fn is_head(name: &str) -> bool {
    HEADS.iter().any(|part| name.contains(part)) && !TAILS.iter().any(|part| name.contains(part))
}

/// Whether a tensor has one row for each token of the vocabulary.
pub(crate) fn has_vocabulary(name: &str) -> bool {
    [
        "embed_tokens",
        "lm_head",
        "wte",
        "word_embeddings",
        "tok_embeddings",
        "embed_in",
        "embed_out",
        "shared.weight",
        "output.weight",
    ]
    .iter()
    .any(|part| name.contains(part))
}

/// Whether a tensor of the output has a row for each token that a change of the vocabulary moves. Parts of layers may have such
/// names, and not the rows.
pub(super) fn follows_vocabulary(name: &str) -> bool {
    layer(name).is_none()
        && (has_vocabulary(name) || ["predictions.decoder.", "predictions.bias"].iter().any(|part| name.contains(part)))
}

/// Whether a tensor with a row for each token turns what comes out of the layers into tokens.
pub(crate) fn is_output(name: &str) -> bool {
    ["lm_head", "embed_out", "output.weight"].iter().any(|part| name.contains(part))
}

/// Whether a tensor is a table of rotation frequencies, which old checkpoints hold and every program computes anew.
pub(super) fn is_frequencies(name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq")
}

impl<'a> Anatomy<'a> {
    /// Sorts names into their places; names keep their order within each.
    pub(super) fn of(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut anatomy = Self::default();
        for name in names {
            match layer(name) {
                Some(InLayer { stack, layer, rest }) => {
                    anatomy.stacks.entry(stack).or_default().entry(layer).or_default().push(rest);
                }
                None if is_head(name) => anatomy.head.push(name),
                None => anatomy.tail.push(name),
            }
        }
        anatomy
    }

    /// The number of layers of a stack.
    pub(super) fn layers(&self, stack: &str) -> u32 {
        self.stacks.get(stack).and_then(|layers| layers.keys().next_back()).map_or(0, |last| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layers_are_found_by_the_first_number_after_a_list() {
        for (name, expected) in [
            ("model.layers.12.mlp.up_proj.weight", Some(("model.layers", 12, "mlp.up_proj.weight"))),
            ("transformer.h.0.ln_1.weight", Some(("transformer.h", 0, "ln_1.weight"))),
            ("model.layers.3.mlp.experts.5.w1.weight", Some(("model.layers", 3, "mlp.experts.5.w1.weight"))),
            ("decoder.block.2.layer.1.EncDecAttention.q.weight", Some(("decoder.block", 2, "layer.1.EncDecAttention.q.weight"))),
            ("bert.encoder.layer.11.output.dense.bias", Some(("bert.encoder.layer", 11, "output.dense.bias"))),
            ("visual.blocks.1.attn.qkv.bias", Some(("visual.blocks", 1, "attn.qkv.bias"))),
            ("layers.4.w", Some(("layers", 4, "w"))),
            ("model.layers.4", Some(("model.layers", 4, ""))),
            ("visual.merger.mlp.0.weight", None),
            ("model.norm.weight", None),
            ("0.layers.weight", None),
            ("model.layers.007.w", None),
            ("model.layers.99999999999999999999.w", None),
            ("model.layers.70000.w", None),
            ("", None),
        ] {
            let found = layer(name).map(|found| (found.stack, found.layer, found.rest));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn what_is_outside_of_layers_comes_before_or_after_them() {
        for name in [
            "model.embed_tokens.weight",
            "transformer.wpe.weight",
            "bert.embeddings.LayerNorm.weight",
            "gpt_neox.embed_in.weight",
            "model.encoder.conv1.weight",
        ] {
            assert!(is_head(name), "{name}");
        }
        for name in [
            "model.norm.weight",
            "lm_head.weight",
            "embed_out.weight",
            "transformer.ln_f.bias",
            "score.weight",
            "proj_out.weight",
        ] {
            assert!(!is_head(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_layer_name_is_put_together_as_it_was(name in "[a-z.0-9]{0,12}(layers|h|x)[.][0-9]{1,6}([.][a-z.]{0,8})?") {
            if let Some(InLayer { stack, layer, rest }) = layer(&name) {
                // a dot at the very end has nothing after it to put back
                prop_assert_eq!(join(stack, layer, rest), name.strip_suffix('.').filter(|_| rest.is_empty()).unwrap_or(&name));
            }
        }
    }
}
