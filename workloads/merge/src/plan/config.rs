//! The output's `config.json`: that of the donor, with the dtype, the number of layers and the vocabulary that the merge gives it.

use super::{header::ModelHeader, outline::Stacked, vocabulary::Vocabulary};
use crate::{recipe::Recipe, tokenizer::renumber};
use braid_kernels::Dtype;
use serde_json::{Map, Value};

/// Keys under which configs keep the number of layers, by the module whose layers they count.
const LAYER_KEYS: [(&str, &[&str]); 6] = [
    ("text_decoder", &["num_hidden_layers", "text_config.num_hidden_layers"]),
    ("vision_tower", &["vision_config.num_hidden_layers", "vision_config.depth"]),
    ("vision_model", &["vision_config.num_hidden_layers", "vision_config.depth"]),
    ("encoder", &["encoder_layers", "num_layers", "num_hidden_layers"]),
    ("decoder", &["decoder_layers", "num_decoder_layers"]),
    ("", &["num_hidden_layers", "n_layer", "n_layers", "num_layers", "text_config.num_hidden_layers"]),
];

/// The config of the output. `dtype` is the type of all its floats, if they have one.
pub(super) fn config(
    recipe: &Recipe,
    headers: &[ModelHeader],
    stacked: &[Stacked],
    dtype: Option<Dtype>,
    vocabulary: Option<&Vocabulary>,
) -> Map<String, Value> {
    let mut config = headers.get(recipe.donor()).map_or_else(Map::new, |donor| donor.config.clone());
    set_dtype(&mut config, dtype, recipe.out_dtype.or(recipe.dtype).is_some());
    for stack in stacked {
        let module = recipe.modules.get(stack.module).and_then(|module| module.name.as_ref()).map_or("", |name| &name.value);
        set_layers(&mut config, headers, module, stack);
    }
    if let Some(vocabulary) = vocabulary {
        set_vocabulary(&mut config, vocabulary);
    }
    config
}

/// Says of what type all floats are, where configs say it or the recipe has chosen it.
pub(super) fn set_dtype(config: &mut Map<String, Value>, dtype: Option<Dtype>, chosen: bool) {
    let Some(name) = dtype.and_then(torch_name) else { return };
    let known: Vec<&str> = ["dtype", "torch_dtype"].into_iter().filter(|key| config.contains_key(*key)).collect();
    // every version of transformers reads the older of the two keys
    let keys = if known.is_empty() && chosen { vec!["torch_dtype"] } else { known };
    for key in keys {
        config.insert(key.into(), name.into());
    }
}

/// The number of rows of embeddings, wherever the config says it, and the numbers of tokens.
fn set_vocabulary(config: &mut Map<String, Value>, vocabulary: &Vocabulary) {
    const KEY: &str = "vocab_size";
    let size = Value::from(vocabulary.rows);
    let inner = config.get("text_config").is_some_and(|text| text.get(KEY).is_some());
    if let Some(Value::Object(text)) = config.get_mut("text_config").filter(|_| inner) {
        text.insert(KEY.into(), size.clone());
    }
    if !inner || config.contains_key(KEY) {
        config.insert(KEY.into(), size);
    }
    renumber(config, &vocabulary.renumbered);
}

fn set_layers(config: &mut Map<String, Value>, headers: &[ModelHeader], module: &str, stack: &Stacked) {
    let keys = LAYER_KEYS.iter().find(|(name, _)| *name == module).or(LAYER_KEYS.last()).map_or(&[][..], |(_, keys)| keys);
    let before = Value::from(stack.layers_before);
    let mut found = false;
    for key in keys {
        let (path, key) = key.split_once('.').map_or((None, *key), |(path, key)| (Some(path), key));
        let Some(object) = object_mut(config, path) else { continue };
        if object.get(key) == Some(&before) {
            object.insert(key.into(), stack.layers.len().into());
            relist(object, headers, path, stack);
            found = true;
        }
    }
    if !found && let Some(key) = keys.first().filter(|key| !key.contains('.')) {
        config.insert((*key).into(), stack.layers.len().into());
    }
}

/// Lists with one entry a layer, such as `layer_types`, follow the layers.
fn relist(object: &mut Map<String, Value>, headers: &[ModelHeader], path: Option<&str>, stack: &Stacked) {
    for (key, value) in object.iter_mut().filter(|(key, _)| key.contains("layer")) {
        let Value::Array(own) = value else { continue };
        if own.len() != stack.layers_before as usize {
            continue;
        }
        let entry = |(model, layer): &(usize, u32)| {
            let theirs =
                headers.get(*model).and_then(|header| object_ref(&header.config, path)).and_then(|object| object.get(key));
            let layer = *layer as usize;
            theirs.and_then(|list| list.get(layer)).or_else(|| own.get(layer)).cloned()
        };
        if let Some(list) = stack.layers.iter().map(entry).collect::<Option<Vec<Value>>>() {
            *value = Value::Array(list);
        }
    }
}

fn object_mut<'a>(config: &'a mut Map<String, Value>, path: Option<&str>) -> Option<&'a mut Map<String, Value>> {
    match path {
        Some(path) => config.get_mut(path)?.as_object_mut(),
        None => Some(config),
    }
}

fn object_ref<'a>(config: &'a Map<String, Value>, path: Option<&str>) -> Option<&'a Map<String, Value>> {
    match path {
        Some(path) => config.get(path)?.as_object(),
        None => Some(config),
    }
}

/// The float type that PyTorch and configs call so.
pub(crate) fn float_named(name: &str) -> Option<Dtype> {
    let name = name.strip_prefix("torch.").unwrap_or(name);
    Dtype::ALL.into_iter().find(|dtype| torch_name(*dtype) == Some(name))
}

/// A float type as PyTorch and recipes call it.
pub(super) fn torch_name(dtype: Dtype) -> Option<&'static str> {
    match dtype {
        Dtype::F64 => Some("float64"),
        Dtype::F32 => Some("float32"),
        Dtype::F16 => Some("float16"),
        Dtype::BF16 => Some("bfloat16"),
        _ => None,
    }
}
