//! DeltaNet, Gated DeltaNet and KDA: the delta rule with no gate, one a token, one a key channel.

use super::{
    super::{
        Real, Tensor,
        chunkwise::{Family, Part, Sheet, Stripe, Tokens, Widths, chunkwise, l2_normalise, l2_pull_back},
    },
    Delta,
};

/// What the three have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    heads: usize,
    key: usize,
    value: usize,
    scale: f64,
    normalise: bool,
}

impl Shape {
    fn new(heads: usize, key: usize, value: usize) -> Self {
        Self { heads, key, value, scale: (key as f64).powf(-0.5), normalise: true }
    }

    fn inputs(&self, gate: usize) -> Vec<Tensor> {
        let Self { heads, key, value, .. } = *self;
        let mut inputs = vec![
            Tensor::new("q", heads * key),
            Tensor::new("k", heads * key),
            Tensor::new("v", heads * value),
            Tensor::new("beta", heads),
        ];
        if gate > 0 {
            inputs.push(Tensor::new("g", heads * gate));
        }
        inputs
    }

    fn widths(&self, gate: usize) -> Widths {
        Widths { key: self.key, value: self.value, gate, beta: 1 }
    }

    fn stripes(&self, head: usize, gate: usize) -> Vec<Stripe> {
        let mut stripes = vec![
            Stripe::of_head(Part::Queries, 0, head, self.key),
            Stripe::of_head(Part::Keys, 1, head, self.key),
            Stripe::of_head(Part::Values, 2, head, self.value),
            Stripe::of_head(Part::Betas, 3, head, 1),
        ];
        if gate > 0 {
            stripes.push(Stripe::of_head(Part::Gates, 4, head, gate));
        }
        stripes
    }

    fn features<T: Real>(&self, chunk: &mut Sheet<T>) {
        if self.normalise {
            l2_normalise(&mut chunk.q, self.key);
            l2_normalise(&mut chunk.k, self.key);
        }
        chunk.q.iter_mut().for_each(|q| *q *= T::of(self.scale));
    }

    fn pull_back<T: Real>(&self, tokens: &Tokens<'_, T>, d: &mut Sheet<T>) {
        d.q.iter_mut().for_each(|d| *d *= T::of(self.scale));
        if self.normalise {
            let raw = |part, tensor| tokens.raw(Stripe::of_head(part, tensor, tokens.head, self.key));
            l2_pull_back(raw(Part::Queries, 0), &mut d.q, self.key);
            l2_pull_back(raw(Part::Keys, 1), &mut d.k, self.key);
        }
    }
}

macro_rules! delta_family {
    ($(#[$doc:meta])* $name:ident, $called:literal, $gate:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $name(Shape);

        impl $name {
            /// Queries and keys are brought to length 1, and queries then scaled by key^−½.
            pub fn new(heads: usize, key: usize, value: usize) -> Self {
                Self(Shape::new(heads, key, value))
            }

            /// With queries and keys as they come. Keys longer than √(2 / β) make the state grow without bound.
            pub fn without_norm(self) -> Self {
                Self(Shape { normalise: false, ..self.0 })
            }

            /// With another scale of queries.
            pub fn with_scale(self, scale: f64) -> Self {
                Self(Shape { scale, ..self.0 })
            }

            fn gate(&self) -> usize {
                let gate: fn(&Shape) -> usize = $gate;
                gate(&self.0)
            }
        }

        impl<T: Real> Family<T> for $name {
            fn name(&self) -> &'static str {
                $called
            }

            fn inputs(&self) -> Vec<Tensor> {
                self.0.inputs(self.gate())
            }

            fn heads(&self) -> usize {
                self.0.heads
            }

            fn widths(&self) -> Widths {
                self.0.widths(self.gate())
            }

            fn stripes(&self, head: usize) -> Vec<Stripe> {
                self.0.stripes(head, self.gate())
            }

            fn features(&self, _: &Tokens<'_, T>, chunk: &mut Sheet<T>) {
                self.0.features(chunk);
            }

            fn pull_back(&self, tokens: &Tokens<'_, T>, _: &Sheet<T>, d: &mut Sheet<T>) {
                self.0.pull_back(tokens, d);
            }
        }

        chunkwise!($name, Delta);
    };
}

delta_family! {
    /// DeltaNet (arXiv 2406.06484): `S_t = (I − β_t k_t k_tᵀ) S_{t−1} + β_t k_t v_tᵀ`.
    ///
    /// Inputs: `q`, `k` (heads × key), `v` (heads × value), `beta` (heads; between 0 and 1, or 2 with negative eigenvalues).
    DeltaNet, "DeltaNet", |_| 0
}

delta_family! {
    /// Gated DeltaNet (arXiv 2412.06464): `S_t = e^(g_t) (I − β_t k_t k_tᵀ) S_{t−1} + β_t k_t v_tᵀ`.
    ///
    /// Inputs: as [`DeltaNet`], and `g` (heads; logarithms of gates, not positive).
    GatedDeltaNet, "Gated DeltaNet", |_| 1
}

delta_family! {
    /// Kimi Delta Attention (arXiv 2510.26692): `S_t = (I − β_t k_t k_tᵀ) Diag(e^(g_t)) S_{t−1} + β_t k_t v_tᵀ`.
    ///
    /// Inputs: as [`DeltaNet`], and `g` (heads × key; logarithms of gates, not positive).
    Kda, "KDA", |shape| shape.key
}
