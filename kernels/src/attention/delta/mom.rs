//! Mixture of Memories (arXiv 2502.13685): tokens go to few of many memories, each a gated delta rule over the tokens it gets.

use std::sync::Arc;

use super::{
    super::{
        Gradients, Real, Span, Tensor,
        chunkwise::{
            Family, Part, Route, Sheet, Stretch, Stripe, Tokens, Widths, chunkwise, l2_normalise, l2_pull_back, merge_stripes,
        },
        heads::dot,
    },
    Delta,
    routing::{route, route_backward},
};

/// Memories and how they are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memories {
    /// How many there are to choose from.
    pub routed: usize,
    /// How many a token goes to. At most `routed`.
    pub chosen: usize,
    /// Whether one more takes every token, with weight 1.
    pub shared: bool,
    /// Whether all have the same keys, values, betas and gates, or each its own.
    pub one_projection: bool,
}

impl Memories {
    fn all(&self) -> usize {
        self.routed + usize::from(self.shared)
    }
}

/// `o_t = Σ_m w_tm S_mᵀ q_t` over the memories m of token t, with `w` the softmax of its largest router logits; each `S_m` follows
/// the rule of [`GatedDeltaNet`](super::GatedDeltaNet) over its own tokens and stays as it is over all others.
///
/// Inputs: `q` (heads × key), `logits` (routed memories), then for each memory, the shared one last, `k` (heads × key), `v` (heads ×
/// value), `beta` and `g` (heads) side by side: `k` is memories × heads × key wide. With one projection, as for a single memory.
/// The states of memory m are those from m × heads on.
///
/// A short convolution before it must run over each memory's own tokens, as must its halo; it is no part of this.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixtureOfMemories {
    heads: usize,
    key: usize,
    value: usize,
    memories: Memories,
}

const LOGITS: usize = 1;

impl MixtureOfMemories {
    /// Of `heads` heads in each memory. Queries and keys are brought to length 1, and queries then scaled by key^−½.
    pub fn new(heads: usize, key: usize, value: usize, memories: Memories) -> Self {
        Self { heads, key, value, memories: Memories { chosen: memories.chosen.min(memories.routed), ..memories } }
    }

    /// The place among the copies of keys and values that a state has.
    fn copy(&self, head: usize) -> usize {
        if self.memories.one_projection { head % self.heads } else { head }
    }

    fn scale<T: Real>(&self) -> T {
        T::of((self.key as f64).powf(-0.5))
    }

    fn logits<'a, T>(&self, span: &Span<'a, T>, row: usize) -> &'a [T] {
        &span.inputs[LOGITS][row * self.memories.routed..][..self.memories.routed]
    }
}

impl<T: Real> Family<T> for MixtureOfMemories {
    fn name(&self) -> &'static str {
        "mixture of memories"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let copies = self.heads * if self.memories.one_projection { 1 } else { self.memories.all() };
        vec![
            Tensor::new("q", self.heads * self.key),
            Tensor::new("logits", self.memories.routed),
            Tensor::new("k", copies * self.key),
            Tensor::new("v", copies * self.value),
            Tensor::new("beta", copies),
            Tensor::new("g", copies),
        ]
    }

    fn heads(&self) -> usize {
        self.heads * self.memories.all()
    }

    fn output_heads(&self) -> usize {
        self.heads
    }

    fn widths(&self) -> Widths {
        Widths { key: self.key, value: self.value, gate: 1, beta: 1 }
    }

    fn routes(&self, span: &Span<'_, T>) -> Vec<Arc<Route<T>>> {
        let mut gets = vec![(vec![], vec![]); self.memories.routed];
        for token in span.own.clone() {
            for (memory, weight) in route(self.logits(span, span.row(token)), self.memories.chosen) {
                gets[memory].0.push(token);
                gets[memory].1.push(weight);
            }
        }
        let mut routes: Vec<_> = gets.into_iter().map(|(tokens, weights)| Route::some(span, tokens, weights)).collect();
        routes.extend(self.memories.shared.then(|| Route::all(span)));
        let routes = routes.into_iter().map(Arc::new);
        routes.flat_map(|route| (0..self.heads).map(move |_| route.clone())).collect()
    }

    fn stripes(&self, head: usize) -> Vec<Stripe> {
        let copy = self.copy(head);
        vec![
            Stripe::of_head(Part::Queries, 0, head % self.heads, self.key),
            Stripe::of_head(Part::Keys, 2, copy, self.key),
            Stripe::of_head(Part::Values, 3, copy, self.value),
            Stripe::of_head(Part::Betas, 4, copy, 1),
            Stripe::of_head(Part::Gates, 5, copy, 1),
        ]
    }

    /// The weight of the route goes to the query: the rule is linear in it.
    fn features(&self, tokens: &Tokens<'_, T>, chunk: &mut Sheet<T>) {
        l2_normalise(&mut chunk.q, self.key);
        l2_normalise(&mut chunk.k, self.key);
        chunk.weight.fill(T::ONE);
        if !tokens.route.weights.is_empty() {
            chunk.weight.copy_from_slice(&tokens.route.weights[tokens.range.clone()]);
        }
        for (q, &weight) in chunk.q.chunks_mut(self.key).zip(&chunk.weight) {
            q.iter_mut().for_each(|q| *q *= weight * self.scale());
        }
    }

    fn pull_back(&self, tokens: &Tokens<'_, T>, chunk: &Sheet<T>, d: &mut Sheet<T>) {
        let [query, key, ..] = Family::<T>::stripes(self, tokens.head)[..] else { return };
        let mut unit = vec![T::ZERO; self.key];
        for (token, (dq, raw)) in d.q.chunks_mut(self.key).zip(tokens.raw(query)).enumerate() {
            unit.copy_from_slice(raw);
            l2_normalise(&mut unit, self.key);
            dq.iter_mut().for_each(|dq| *dq *= self.scale());
            d.weight[token] = dot(&unit, dq);
            dq.iter_mut().for_each(|dq| *dq *= chunk.weight[token]);
        }
        l2_pull_back(tokens.raw(query), &mut d.q, self.key);
        l2_pull_back(tokens.raw(key), &mut d.k, self.key);
    }

    fn merge(&self, span: &Span<'_, T>, stretch: &Stretch<'_, T>, gradients: &mut Gradients<T>) {
        let stripes: Vec<_> = (0..stretch.sheets.len()).map(|head| Family::<T>::stripes(self, head)).collect();
        merge_stripes(&stripes, span, &Family::<T>::inputs(self), stretch, gradients);
        let Memories { routed, chosen, .. } = self.memories;
        if routed == 0 {
            return;
        }
        let reach = stretch.reach();
        let mut d_weights = vec![T::ZERO; reach.len() * routed];
        for head in 0..routed * self.heads {
            for (place, &d) in stretch.places[head].clone().zip(&stretch.sheets[head].weight) {
                d_weights[(stretch.routes[head].row(place) - reach.start) * routed + head / self.heads] += d;
            }
        }
        // What a row gets is linear in the gradients of its weights: those that come with another stretch are added then.
        for (row, d_weights) in reach.zip(d_weights.chunks(routed)) {
            let d_logits = &mut gradients.inputs[LOGITS][row * routed..(row + 1) * routed];
            route_backward(self.logits(span, row), chosen, d_weights, d_logits);
        }
    }
}

chunkwise!(MixtureOfMemories, Delta);
