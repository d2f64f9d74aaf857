//! All families, small, each with numbers that suit it.

use braid_kernels::attention::{
    AxialCombiner, Combiner, DeltaNet, GatedDeltaNet, GatedSlots, Gathered, Gla, Hedgehog, HedgehogForm, Hydra, Kda, Liger,
    LigerHybrid, LightNet, Lightning, LinearAttention, LogsparseCombiner, Lolcats, Memories, Mixer, MixtureOfMemories, Real,
    ScalarGate, ShortConvolution, SlidingWindow, Softmax, SoftmaxHeads, VqAttention,
};

/// How a number of a tensor is made of a normal one.
pub(super) type Draw = fn(&str, f64) -> f64;

/// A family, and how its tensors are drawn.
pub(super) struct Family<F: ?Sized> {
    pub(super) layer: Box<F>,
    pub(super) draw: Draw,
}

/// Gates are negative, betas lie between 0 and 1, slopes are positive, and slots take in a little of each token.
fn usual(name: &str, normal: f64) -> f64 {
    match name {
        "g" | "g reverse" => -normal.abs() / 4.0,
        "beta" => 1.0 / (1.0 + (-normal).exp()),
        "slopes" => normal.abs(),
        "s" => 0.3 * normal,
        _ => normal,
    }
}

fn positive(name: &str, normal: f64) -> f64 {
    if name == "v" { normal } else { 0.1 + normal.abs() }
}

/// Gates that forget everything within a token or two.
fn strong(name: &str, normal: f64) -> f64 {
    if name == "g" { -30.0 * normal * normal } else { usual(name, normal) }
}

/// Families with a state, or with nothing but neighbours.
pub(super) fn mixers<T: Real>() -> Vec<Family<dyn Mixer<T>>> {
    fn of<T: Real>(mixer: impl Mixer<T> + 'static, draw: Draw) -> Family<dyn Mixer<T>> {
        Family { layer: Box::new(mixer), draw }
    }
    let heads = SoftmaxHeads { queries: 4, keys: 2, key_width: 3, value_width: 2, scale: 0.7 };
    let memories = Memories { routed: 4, chosen: 2, shared: true, one_projection: false };
    vec![
        of(LinearAttention::new(2, 4, 3), usual),
        of(LinearAttention::normalised(2, 4, 3), positive),
        of(Lightning::new(2, 4, 3), usual),
        of(ScalarGate::new(2, 4, 3), usual),
        of(Gla::new(2, 4, 3), usual),
        of(Gla::new(1, 5, 2), strong),
        of(Liger::new(2, 4, 3), usual),
        of(DeltaNet::new(2, 4, 3), usual),
        of(GatedDeltaNet::new(2, 4, 3), usual),
        of(GatedDeltaNet::new(1, 3, 2), strong),
        of(Kda::new(2, 4, 3), usual),
        of(MixtureOfMemories::new(2, 3, 2, memories), usual),
        of(MixtureOfMemories::new(1, 3, 2, Memories { shared: false, one_projection: true, ..memories }), usual),
        of(Hedgehog { heads: 2, key: 4, value: 3, features: 3, form: HedgehogForm::Two }, usual),
        of(Lolcats { heads: 2, key: 4, value: 3, features: 3, form: HedgehogForm::Two, window: 9, scale: 0.6 }, usual),
        of(Lolcats { heads: 1, key: 3, value: 2, features: 2, form: HedgehogForm::One, window: 50, scale: 0.6 }, usual),
        of(LigerHybrid::new(2, 4, 3, 21), usual),
        of(Hydra { heads: 2, key: 4, value: 3 }, usual),
        of(VqAttention { heads: 2, key: 3, value: 2, codes: 5, scale: 0.5 }, usual),
        of(GatedSlots { heads: 2, slots: 3, key_width: 4, value_width: 2, scale: 0.5 }, usual),
        of(LightNet { heads: 2, key_width: 4, value_width: 3 }, usual),
        of(SlidingWindow { heads, window: 37 }, usual),
        of(ShortConvolution::causal(5, 4, true), usual),
        of(ShortConvolution::centred(4, 3, false), usual),
    ]
}

/// Families that gather.
pub(super) fn gathered<T: Real>() -> Vec<Family<dyn Gathered<T>>> {
    fn of<T: Real>(family: impl Gathered<T> + 'static) -> Family<dyn Gathered<T>> {
        Family { layer: Box::new(family), draw: usual }
    }
    let heads = SoftmaxHeads { queries: 4, keys: 2, key_width: 3, value_width: 5, scale: 0.7 };
    vec![
        of(Softmax { heads }),
        of(Combiner { heads: 2, key_width: 3, value_width: 4, region: 3, scale: 0.6 }),
        of(Combiner { heads: 1, key_width: 2, value_width: 2, region: 11, scale: 0.6 }),
        of(LogsparseCombiner { heads: 2, key_width: 3, value_width: 4, region: 3, scale: 0.6 }),
        of(AxialCombiner { heads: 2, key_width: 3, value_width: 4, row: 7, scale: 0.6 }),
    ]
}
