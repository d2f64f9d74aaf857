//! Which tensors share hidden units, by their names and shapes. Pure.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Names of the layers of an MLP: those that make hidden units, and the one that takes them.
const MLPS: [(&[&str], &str); 9] = [
    (&["gate_proj", "up_proj"], "down_proj"),
    (&["w1", "w3"], "w2"),
    (&["fc1"], "fc2"),
    (&["c_fc"], "c_proj"),
    (&["fc_in"], "fc_out"),
    (&["dense_h_to_4h"], "dense_4h_to_h"),
    (&["linear1"], "linear2"),
    (&["lin1"], "lin2"),
    (&["intermediate.dense"], "output.dense"),
];

/// Names of the layers of an attention: queries, keys, values, output.
const ATTENTIONS: [[&str; 4]; 3] =
    [["q_proj", "k_proj", "v_proj", "o_proj"], ["q_proj", "k_proj", "v_proj", "out_proj"], ["wq", "wk", "wv", "wo"]];

/// Tensors whose units are permuted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// What their names begin with.
    pub(super) name: String,
    /// The tensors; never none.
    pub(super) members: Vec<Member>,
    /// Units of an inner member that belong to each unit of an outer one.
    pub(super) inner: usize,
}

/// A tensor of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its name.
    pub(super) tensor: String,
    /// Which axis its units are on: 0 for rows.
    pub(super) axis: usize,
    /// How many units it has.
    pub(super) units: usize,
    /// Its units move within those of the other members, and with them.
    pub(super) is_inner: bool,
}

/// The heads of every attention of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heads {
    queries: usize,
    keys: usize,
}

impl Heads {
    /// As a config says, of the language model where there are several.
    pub(super) fn of(config: &Map<String, Value>) -> Self {
        let text = config.get("text_config").and_then(Value::as_object).unwrap_or(config);
        let number = |keys: [&str; 2]| {
            let value = keys.iter().find_map(|key| text.get(*key)?.as_u64());
            value.and_then(|value| usize::try_from(value).ok()).filter(|value| *value <= 1 << 16)
        };
        let queries = number(["num_attention_heads", "n_head"]).unwrap_or(0);
        Self { queries, keys: number(["num_key_value_heads", "num_kv_heads"]).unwrap_or(queries) }
    }
}

type Shapes<'a> = BTreeMap<&'a str, &'a [u64]>;

/// All groups among tensors of these names and shapes; `input_first` where matrices are kept as input × output.
pub(super) fn groups(shapes: &Shapes<'_>, heads: Heads, input_first: bool) -> Vec<Group> {
    let mlps = MLPS
        .iter()
        .flat_map(|(makers, taker)| prefixes(shapes, taker).filter_map(|prefix| mlp(shapes, prefix, makers, taker, input_first)));
    let attentions = ATTENTIONS
        .iter()
        .flat_map(|names| prefixes(shapes, names[3]).filter_map(|prefix| attention(shapes, prefix, names, heads)));
    // a tensor whose name fits two groups goes with the first
    let mut taken = BTreeSet::new();
    let free = |group: &Group| group.members.iter().all(|member| taken.insert(member.tensor.clone()));
    mlps.chain(attentions).filter(free).collect()
}

/// What stands before the name of a layer, for every tensor that is its weight.
fn prefixes<'a>(shapes: &'a Shapes<'_>, layer: &str) -> impl Iterator<Item = &'a str> {
    let ending = format!("{layer}.weight");
    shapes
        .keys()
        .filter_map(move |name| name.strip_suffix(ending.as_str()).filter(|prefix| prefix.is_empty() || prefix.ends_with('.')))
}

fn mlp(shapes: &Shapes<'_>, prefix: &str, makers: &[&str], taker: &str, input_first: bool) -> Option<Group> {
    let weight = |layer: &str| format!("{prefix}{layer}.weight");
    let axis = usize::from(input_first);
    let &[rows, cols] = *shapes.get(weight(taker).as_str())? else { return None };
    let hidden = if input_first { rows } else { cols };
    let units = usize::try_from(hidden).ok().filter(|units| *units > 0)?;
    let mut members = Vec::new();
    for maker in makers {
        let shape = *shapes.get(weight(maker).as_str())?;
        if shape.len() != 2 || shape[axis] != hidden {
            return None;
        }
        members.push(Member { tensor: weight(maker), axis, units, is_inner: false });
        members.extend(bias(shapes, prefix, maker, units, units, false));
    }
    members.push(Member { tensor: weight(taker), axis: 1 - axis, units, is_inner: false });
    Some(Group { name: prefix.trim_end_matches('.').to_owned(), members, inner: 0 })
}

/// The bias of a layer, where it has one of this many elements.
fn bias(shapes: &Shapes<'_>, prefix: &str, layer: &str, elements: usize, units: usize, is_inner: bool) -> Option<Member> {
    let name = format!("{prefix}{layer}.bias");
    let fits = shapes.get(name.as_str()).is_some_and(|shape| **shape == [elements as u64]);
    fits.then_some(Member { tensor: name, axis: 0, units, is_inner })
}

fn attention(shapes: &Shapes<'_>, prefix: &str, names: &[&str; 4], Heads { queries, keys }: Heads) -> Option<Group> {
    if keys == 0 || !queries.is_multiple_of(keys) {
        return None;
    }
    let [q, k, v, o] = names.map(|layer| (layer, format!("{prefix}{layer}.weight")));
    let rows = |name: &str, heads: usize| {
        let &[rows, _] = *shapes.get(name)? else { return None };
        usize::try_from(rows).ok().filter(|rows| *rows > 0 && rows.is_multiple_of(heads))
    };
    let (of_q, of_k, of_v) = (rows(&q.1, queries)?, rows(&k.1, keys)?, rows(&v.1, keys)?);
    let &[_, of_o] = *shapes.get(o.1.as_str())? else { return None };
    // the output takes what the values of each query head are weighted to
    if of_q / queries != of_k / keys || of_o != (of_v / keys * queries) as u64 {
        return None;
    }
    let mut members = Vec::new();
    for ((layer, tensor), elements, units, is_inner) in [(q, of_q, queries, true), (k, of_k, keys, false), (v, of_v, keys, false)]
    {
        let has_bias = shapes.contains_key(format!("{prefix}{layer}.bias").as_str());
        members.push(Member { tensor, axis: 0, units, is_inner });
        let bias = bias(shapes, prefix, layer, elements, units, is_inner);
        if has_bias && bias.is_none() {
            return None;
        }
        members.extend(bias);
    }
    members.push(Member { tensor: o.1, axis: 1, units: queries, is_inner: true });
    Some(Group { name: prefix.trim_end_matches('.').to_owned(), members, inner: queries / keys })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn find(list: &[(&str, &[u64])], config: &Value, input_first: bool) -> Vec<Group> {
        groups(&list.iter().copied().collect(), Heads::of(config.as_object().unwrap()), input_first)
    }

    fn members(group: &Group) -> Vec<(&str, usize, usize, bool)> {
        group.members.iter().map(|member| (member.tensor.as_str(), member.axis, member.units, member.is_inner)).collect()
    }

    #[test]
    fn mlps_are_known_by_their_names_and_the_axis_by_the_model() {
        let llama: [(&str, &[u64]); 4] = [
            ("l.0.mlp.gate_proj.weight", &[12, 8]),
            ("l.0.mlp.up_proj.weight", &[12, 8]),
            ("l.0.mlp.down_proj.weight", &[8, 12]),
            ("l.0.norm.weight", &[8]),
        ];
        let [group] = &find(&llama, &json!({}), false)[..] else { panic!() };
        assert_eq!(
            members(group),
            [
                ("l.0.mlp.gate_proj.weight", 0, 12, false),
                ("l.0.mlp.up_proj.weight", 0, 12, false),
                ("l.0.mlp.down_proj.weight", 1, 12, false),
            ]
        );
        let gpt: [(&str, &[u64]); 4] = [
            ("h.0.mlp.c_fc.weight", &[8, 12]),
            ("h.0.mlp.c_fc.bias", &[12]),
            ("h.0.mlp.c_proj.weight", &[12, 8]),
            ("h.0.attn.c_proj.weight", &[8, 8]),
        ];
        let [group] = &find(&gpt, &json!({}), true)[..] else { panic!() };
        assert_eq!(
            members(group),
            [("h.0.mlp.c_fc.weight", 1, 12, false), ("h.0.mlp.c_fc.bias", 0, 12, false), ("h.0.mlp.c_proj.weight", 0, 12, false)]
        );
    }

    #[test]
    fn heads_move_where_every_tensor_has_them() {
        let attention = |kv: u64, o: u64| {
            let shapes: Vec<(&str, Vec<u64>)> = vec![
                ("a.q_proj.weight", vec![16, 8]),
                ("a.k_proj.weight", vec![kv, 8]),
                ("a.v_proj.weight", vec![kv, 8]),
                ("a.v_proj.bias", vec![kv]),
                ("a.o_proj.weight", vec![8, o]),
            ];
            let list: Vec<(&str, &[u64])> = shapes.iter().map(|(name, shape)| (*name, shape.as_slice())).collect();
            find(&list, &json!({"num_attention_heads": 4, "num_key_value_heads": 2}), false)
        };
        let [group] = &attention(8, 16)[..] else { panic!() };
        assert_eq!(group.inner, 2);
        assert_eq!(
            members(group),
            [
                ("a.q_proj.weight", 0, 4, true),
                ("a.k_proj.weight", 0, 2, false),
                ("a.v_proj.weight", 0, 2, false),
                ("a.v_proj.bias", 0, 2, false),
                ("a.o_proj.weight", 1, 4, true),
            ]
        );
        assert_eq!(attention(6, 16), [], "heads of another length");
        assert_eq!(attention(8, 12), [], "an output of another width");
        assert_eq!(find(&[("a.q_proj.weight", &[16, 8])], &json!({"num_attention_heads": 4}), false), []);
        for config in [json!({}), json!({"num_attention_heads": 0}), json!({"num_attention_heads": 3, "num_key_value_heads": 2})]
        {
            assert_eq!(
                Heads::of(config.as_object().unwrap()).keys == 0,
                config != json!({"num_attention_heads": 3, "num_key_value_heads": 2})
            );
        }
    }

    #[test]
    fn what_does_not_fit_together_is_no_group() {
        let odd: [&[(&str, &[u64])]; 4] = [
            &[("m.fc1.weight", &[12, 8]), ("m.fc2.weight", &[8, 11])],
            &[("m.fc1.weight", &[12]), ("m.fc2.weight", &[8, 12])],
            &[("m.fc2.weight", &[8, 12])],
            &[("m.fc1.weight", &[0, 8]), ("m.fc2.weight", &[8, 0])],
        ];
        for list in odd {
            assert_eq!(find(list, &json!({}), false), []);
        }
    }
}
