//! Every family that gathers, on any ranks, is itself on one.

use braid_kernels::attention::{Gathered, Gradients, Real};
use bytemuck::Pod;

use super::{
    super::{Layout, SequenceGroup, Shard},
    case::{Case, Shape, close, for_shapes, joined},
    families::{Family, gathered},
    ranks::on_ranks,
};

const CASES: u32 = 30;

pub(super) fn case_of<T: Real>(Family { layer: family, draw }: &Family<dyn Gathered<T>>, shape: &Shape) -> Case<T> {
    Case::new(shape, *draw, &family.inputs(), &family.params(), family.output_width())
}

fn alone<T: Real>(family: &dyn Gathered<T>, layout: &Layout, case: &Case<T>) -> (Vec<T>, Gradients<T>) {
    let span = case.whole(layout.documents());
    let shared = family.contribute(&span);
    let (mut out, mut gradients) = (vec![T::ZERO; case.d_out.len()], Gradients::zeros(&span));
    let mut d_shared = vec![T::ZERO; shared.len()];
    family.forward(&span, &shared, &mut out);
    family.backward(&span, &shared, &case.d_out, &mut d_shared, &mut gradients);
    family.contribute_backward(&span, &d_shared, &mut gradients);
    (out, gradients)
}

/// Outputs and gradients over the ranks of a layout; contributions are kept for backward, or gathered again.
pub(super) fn together<T: Real + Pod>(
    family: &dyn Gathered<T>,
    layout: &Layout,
    case: &Case<T>,
    keep: bool,
) -> (Vec<T>, Gradients<T>) {
    let parts = on_ranks(layout.ranks(), |exchange| {
        let group = SequenceGroup::new(&*exchange, layout).unwrap();
        let own = layout.own(group.rank());
        let shard = Shard { inputs: case.rows(&own), params: case.params() };
        let attended = group.forward_gathered(family, &shard).unwrap();
        let kept = if keep { attended.kept } else { attended.kept.to_gather_again() };
        (attended.out, group.backward_gathered(family, &shard, &kept, case.d_out_of(&own)).unwrap())
    });
    let out = parts.iter().flat_map(|part| &part.0).copied().collect();
    (out, joined(parts.into_iter().map(|part| part.1)))
}

fn ranks_equal_one<T: Real + Pod>(family: &Family<dyn Gathered<T>>, shape: &Shape, tolerance: f64) {
    let (layout, case, family) = (shape.layout(), case_of(family, shape), &*family.layer);
    let (out, gradients) = alone(family, &layout, &case);
    let kept = together(family, &layout, &case, true);
    assert!(kept == together(family, &layout, &case, false), "{}: gathering again changes bits", family.name());
    close(&kept.0, &out, tolerance, family.name());
    let tensors = |gradients: Gradients<T>| gradients.inputs.into_iter().chain(gradients.params);
    for (i, (split, one)) in tensors(kept.1).zip(tensors(gradients)).enumerate() {
        close(&split, &one, 10.0 * tolerance, &format!("{}: gradient {i}", family.name()));
    }
}

#[test]
fn every_gathered_family_on_any_ranks_is_one_rank() {
    for family in gathered::<f64>() {
        for_shapes(CASES, |shape| ranks_equal_one(&family, shape, 1e-12));
    }
    for family in gathered::<f32>() {
        for_shapes(CASES, |shape| ranks_equal_one(&family, shape, 1e-5));
    }
}

#[test]
fn one_rank_is_the_gathered_family_bit_for_bit() {
    for family in gathered::<f32>() {
        let (shape, layer) = (Shape::new(&[70, 1, 33], &[], 5), &*family.layer);
        let (layout, case) = (shape.layout(), case_of(&family, &shape));
        assert!(together(layer, &layout, &case, true) == alone(layer, &layout, &case), "{}", layer.name());
    }
}
