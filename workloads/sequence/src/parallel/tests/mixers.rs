//! Every family with a state, on any ranks, is itself on one.

use braid_kernels::attention::{Direction, Gradients, Mixer, Real, StateShape};
use braid_workload::exchange::ScanMethod;
use bytemuck::Pod;

use super::{
    super::{Layout, SequenceGroup, Shard},
    case::{Case, Shape, close, for_shapes, joined},
    families::{Family, mixers},
    ranks::on_ranks,
};

const CASES: u32 = 12;
const METHODS: [ScanMethod; 2] = [ScanMethod::Gather, ScanMethod::LogStep];

/// What comes out of a whole sequence.
#[derive(Debug, PartialEq)]
pub(super) struct Pass<T> {
    pub(super) out: Vec<T>,
    /// After the last token, or for a state that travels the other way, after the first.
    pub(super) states: Vec<T>,
    pub(super) gradients: Gradients<T>,
}

pub(super) fn case_of<T: Real>(Family { layer: mixer, draw }: &Family<dyn Mixer<T>>, shape: &Shape) -> Case<T> {
    Case::new(shape, *draw, &mixer.inputs(), &mixer.params(), mixer.output_width())
}

/// The family itself, over all tokens at once.
pub(super) fn alone<T: Real>(mixer: &dyn Mixer<T>, layout: &Layout, case: &Case<T>) -> Pass<T> {
    let span = case.whole(layout.documents());
    let (mut out, mut gradients) = (vec![T::ZERO; case.d_out.len()], Gradients::zeros(&span));
    let states = mixer.forward(&span, &mut |_| {}, &mut out);
    let empty: Vec<T> = mixer.states().iter().flat_map(StateShape::empty_state).collect();
    mixer.backward(&span, &empty, &case.d_out, &mut |_| {}, &mut gradients);
    Pass { out, states, gradients }
}

/// The family over the ranks of a layout.
pub(super) fn together<T: Real + Pod>(
    mixer: &dyn Mixer<T>,
    layout: &Layout,
    case: &Case<T>,
    method: Option<ScanMethod>,
) -> Pass<T> {
    let parts = on_ranks(layout.ranks(), |exchange| {
        let group = SequenceGroup::new(&*exchange, layout).unwrap();
        let group = method.map_or(group, |method| group.with_method(method));
        let own = layout.own(group.rank());
        let shard = Shard { inputs: case.rows(&own), params: case.params() };
        let mixed = group.forward(mixer, &shard).unwrap();
        let gradients = group.backward(mixer, &shard, &mixed.kept, case.d_out_of(&own)).unwrap();
        (mixed.out, mixed.states, gradients)
    });
    let with_tokens = |rank: &usize| !layout.own(*rank).is_empty();
    let first = (0..layout.ranks()).find(with_tokens).expect("some rank has tokens");
    let last = (0..layout.ranks()).rev().find(with_tokens).expect("some rank has tokens");
    let (mut states, mut at) = (vec![], 0);
    for shape in mixer.states() {
        let rank = if shape.direction == Direction::Forward { last } else { first };
        states.extend_from_slice(&parts[rank].1[at..at + shape.state_len()]);
        at += shape.state_len();
    }
    let out = parts.iter().flat_map(|part| &part.0).copied().collect();
    Pass { out, states, gradients: joined(parts.into_iter().map(|part| part.2)) }
}

fn ranks_equal_one<T: Real + Pod>(family: &Family<dyn Mixer<T>>, shape: &Shape, tolerance: f64) {
    let (layout, case, mixer) = (shape.layout(), case_of(family, shape), &*family.layer);
    let expected = alone(mixer, &layout, &case);
    for method in METHODS {
        let pass = together(mixer, &layout, &case, Some(method));
        let what = |of: &str| format!("{} over {:?} by {method:?}: {of}", mixer.name(), ranks(&layout));
        close(&pass.out, &expected.out, tolerance, &what("output"));
        close(&pass.states, &expected.states, tolerance, &what("states"));
        let names = mixer.inputs().into_iter().chain(mixer.params()).map(|tensor| tensor.name);
        let (mine, theirs) = (tensors(&pass.gradients), tensors(&expected.gradients));
        for (name, (mine, theirs)) in names.zip(mine.zip(theirs)) {
            close(mine, theirs, 10.0 * tolerance, &what(&format!("gradient of {name}")));
        }
    }
}

fn ranks(layout: &Layout) -> Vec<usize> {
    (0..layout.ranks()).map(|rank| layout.own(rank).len()).collect()
}

fn tensors<T>(gradients: &Gradients<T>) -> impl Iterator<Item = &Vec<T>> {
    gradients.inputs.iter().chain(&gradients.params)
}

#[test]
fn every_family_on_any_ranks_is_one_rank_in_f64() {
    for family in mixers::<f64>() {
        for_shapes(CASES, |shape| ranks_equal_one(&family, shape, 1e-11));
    }
}

#[test]
fn every_family_on_any_ranks_is_one_rank_in_f32() {
    for family in mixers::<f32>() {
        for_shapes(CASES, |shape| ranks_equal_one(&family, shape, 1e-4));
    }
}

#[test]
fn one_rank_is_the_family_bit_for_bit() {
    for family in mixers::<f32>() {
        let (shape, mixer) = (Shape::new(&[70, 1, 33], &[], 5), &*family.layer);
        let (layout, case) = (shape.layout(), case_of(&family, &shape));
        assert!(together(mixer, &layout, &case, None) == alone(mixer, &layout, &case), "{}", mixer.name());
    }
}
