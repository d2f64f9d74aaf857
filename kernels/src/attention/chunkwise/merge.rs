//! From rows of heads to tensors in which heads lie side by side. Parallel over blocks of rows.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    super::{Gradients, Real, Span, Tensor, heads::add},
    Route, Sheet, Stripe,
};

/// Rows that one thread writes at a time.
const BLOCK: usize = 512;

/// Rows of a head that are added to columns of a tensor.
struct Rows<'a, T> {
    route: &'a Route<T>,
    data: &'a [T],
    stride: usize,
    first: usize,
    width: usize,
}

fn add_rows<T: Real>(tensor: &mut [T], stride: usize, heads: &[Rows<'_, T>]) {
    tensor.par_chunks_mut(BLOCK * stride).enumerate().for_each(|(block, tensor)| {
        let start = block * BLOCK;
        for head in heads {
            for place in head.route.places(&(start..start + tensor.len() / stride)) {
                let at = (head.route.row(place) - start) * stride + head.first;
                add(&mut tensor[at..at + head.width], &head.data[place * head.stride..][..head.width]);
            }
        }
    });
}

/// Adds the gradients of all heads to those of the inputs that their parts were copied from.
pub(crate) fn merge_stripes<T: Real>(
    stripes: &[Vec<Stripe>],
    span: &Span<'_, T>,
    inputs: &[Tensor],
    routes: &[Arc<Route<T>>],
    heads: &[Sheet<T>],
    gradients: &mut Gradients<T>,
) {
    if span.is_empty() {
        return;
    }
    for (tensor, (input, gradient)) in inputs.iter().zip(&mut gradients.inputs).enumerate() {
        let of_head = |(head, stripes): (usize, &Vec<Stripe>)| {
            let here = stripes.iter().filter(|stripe| stripe.tensor == tensor);
            here.map(|stripe| {
                let (data, stride) = heads[head].part(stripe.part);
                Rows { route: &routes[head], data, stride, first: stripe.first, width: stripe.width }
            })
            .collect::<Vec<_>>()
        };
        let rows: Vec<_> = stripes.iter().enumerate().flat_map(of_head).collect();
        if !rows.is_empty() {
            add_rows(gradient, input.width, &rows);
        }
    }
}
