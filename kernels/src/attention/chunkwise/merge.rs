//! From rows of heads to tensors in which heads lie side by side. Parallel over blocks of rows.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    super::{Gradients, Real, Span, Tensor, heads::add},
    Route, Stretch, Stripe,
};

/// Rows that one thread writes at a time.
const BLOCK: usize = 256;

/// Rows of a head that are added to columns of a tensor.
struct Rows<'a, T> {
    route: &'a Route<T>,
    /// The places that `data` is of.
    places: Range<usize>,
    data: &'a [T],
    stride: usize,
    first: usize,
    width: usize,
}

/// `tensor` holds rows from `first` on.
fn add_rows<T: Real>(tensor: &mut [T], (first, stride): (usize, usize), heads: &[Rows<'_, T>]) {
    tensor.par_chunks_mut(BLOCK * stride).enumerate().for_each(|(block, tensor)| {
        let start = first + block * BLOCK;
        for head in heads {
            let here = head.route.places(&(start..start + tensor.len() / stride));
            for place in here.start.max(head.places.start)..here.end.min(head.places.end) {
                let at = (head.route.row(place) - start) * stride + head.first;
                let row = &head.data[(place - head.places.start) * head.stride..][..head.width];
                add(&mut tensor[at..at + head.width], row);
            }
        }
    });
}

/// Adds the gradients of all heads over a stretch to those of the inputs that their parts were copied from.
pub(crate) fn merge_stripes<T: Real>(
    stripes: &[Vec<Stripe>],
    span: &Span<'_, T>,
    inputs: &[Tensor],
    stretch: &Stretch<'_, T>,
    gradients: &mut Gradients<T>,
) {
    if span.is_empty() {
        return;
    }
    let reach = stretch.reach();
    for (tensor, (input, gradient)) in inputs.iter().zip(&mut gradients.inputs).enumerate() {
        let of_head = |(head, stripes): (usize, &Vec<Stripe>)| {
            let here = stripes.iter().filter(|stripe| stripe.tensor == tensor);
            here.map(|stripe| {
                let ((data, stride), places) = (stretch.part(head, stripe.part), stretch.places[head].clone());
                Rows { route: &stretch.routes[head], places, data, stride, first: stripe.first, width: stripe.width }
            })
            .collect::<Vec<_>>()
        };
        let rows: Vec<_> = stripes.iter().enumerate().flat_map(of_head).collect();
        if !rows.is_empty() {
            let part = &mut gradient[reach.start * input.width..reach.end * input.width];
            add_rows(part, (reach.start, input.width), &rows);
        }
    }
}
