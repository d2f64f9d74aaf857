//! Packed documents do not leak: what one holds changes no bit of another's outputs and gradients.

use std::ops::Range;

use braid_workload::exchange::ScanMethod;

use super::{
    case::{Case, Random, Shape},
    families::{gathered, mixers},
    gathered as over_gathered, mixers as over_mixers,
};

/// Cuts inside documents, and where they end.
fn shape() -> Shape {
    Shape::new(&[50, 30, 3, 40, 77], &[100, 250, 300, 415, 500, 640, 900], 11)
}

const CHANGED: Range<usize> = 50..80;

/// The same case but for all that one document holds.
fn changed(mut case: Case<f64>) -> Case<f64> {
    let mut random = Random(99);
    let widths: Vec<usize> = case.widths.iter().copied().chain([case.output_width]).collect();
    for (tensor, width) in case.inputs.iter_mut().chain([&mut case.d_out]).zip(widths) {
        // Scaled, so that gates stay gates.
        tensor[CHANGED.start * width..CHANGED.end * width].iter_mut().for_each(|x| *x *= 1.0 + random.normal().abs());
    }
    case
}

/// The rows that differ, of a tensor with so many columns.
fn different(a: &[f64], b: &[f64], width: usize) -> Vec<usize> {
    (0..a.len() / width).filter(|&row| a[row * width..(row + 1) * width] != b[row * width..(row + 1) * width]).collect()
}

fn only_changed(a: &[f64], b: &[f64], width: usize, what: &str) {
    let rows = different(a, b, width);
    assert!(!rows.is_empty(), "{what}: the change changes nothing");
    assert!(rows.iter().all(|row| CHANGED.contains(row)), "{what}: leaks to {rows:?}");
}

#[test]
fn a_document_changes_no_bit_of_another_in_layers_with_states() {
    let (shape, layout) = (shape(), shape().layout());
    for family in mixers::<f64>() {
        let mixer = &*family.layer;
        let case = over_mixers::case_of(&family, &shape);
        let other = changed(over_mixers::case_of(&family, &shape));
        for method in [ScanMethod::Gather, ScanMethod::LogStep] {
            let [before, after] = [&case, &other].map(|case| over_mixers::together(mixer, &layout, case, Some(method)));
            only_changed(&before.out, &after.out, case.output_width, mixer.name());
            for (i, &width) in case.widths.iter().enumerate() {
                only_changed(&before.gradients.inputs[i], &after.gradients.inputs[i], width, mixer.name());
            }
        }
    }
}

#[test]
fn a_document_changes_no_bit_of_another_in_gathered_layers() {
    let (shape, layout) = (shape(), shape().layout());
    for family in gathered::<f64>() {
        let layer = &*family.layer;
        let case = over_gathered::case_of(&family, &shape);
        let other = changed(over_gathered::case_of(&family, &shape));
        let [before, after] = [&case, &other].map(|case| over_gathered::together(layer, &layout, case, true));
        only_changed(&before.0, &after.0, case.output_width, layer.name());
        for (i, &width) in case.widths.iter().enumerate() {
            only_changed(&before.1.inputs[i], &after.1.inputs[i], width, layer.name());
        }
    }
}
