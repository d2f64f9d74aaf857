//! The whole model against finite differences, and on several ranks against one.

use super::*;
use crate::parallel::{Layout, SequenceGroup};
use braid_kernels::attention::Documents;
use braid_workload::exchange::local;

pub(super) const VOCABULARY: usize = 11;
const MIXINGS: [Mixing; 6] =
    [Mixing::Gla, Mixing::Softmax, Mixing::Linear, Mixing::Lightning, Mixing::DeltaNet, Mixing::GatedDeltaNet];

fn config(layers: &[Mixing]) -> ModelConfig {
    ModelConfig { width: 8, heads: 2, head_dim: 4, mlp_width: 12, layers: layers.to_vec(), norm_epsilon: Epsilon(1e-5) }
}

fn tokens(count: usize) -> Vec<u32> {
    (0..count).map(|index| (index * 7 + index * index) as u32 % VOCABULARY as u32).collect()
}

/// Loss and gradient of all ranks together.
pub(super) fn train(model: &Model, parameters: &[f32], documents: &[usize], ranks: usize) -> (Loss, Vec<f32>) {
    let documents = Documents::of_lengths(documents.iter().copied());
    let tokens = tokens(documents.tokens());
    let layout = Layout::balanced(documents, ranks);
    let (layout, tokens) = (&layout, &tokens);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = local::group(ranks)
            .into_iter()
            .map(|exchange| {
                scope.spawn(move || {
                    let mut gradient = vec![0.0; parameters.len()];
                    let group = SequenceGroup::new(&exchange, layout).unwrap();
                    let loss = model.train(parameters, &group, tokens, 1.0, &mut gradient).unwrap();
                    (loss, gradient)
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let mut total = (Loss::default(), vec![0.0; parameters.len()]);
    for (loss, gradient) in parts {
        total.0 = Loss { nats: total.0.nats + loss.nats, tokens: total.0.tokens + loss.tokens };
        total.1.iter_mut().zip(&gradient).for_each(|(total, part)| *total += part);
    }
    total
}

#[test]
fn the_gradient_of_every_tensor_is_the_slope_of_the_loss() {
    for mixing in MIXINGS {
        let model = Model::new(&config(&[mixing]), VOCABULARY).unwrap();
        let mut parameters: Vec<f32> = model.table().begin(1).iter().map(|x| x * 2.0).collect();
        // Tokens begin so close to zero that the first norm bends sharply: no place to measure a slope.
        let embedding = model.table().range("model.embed_tokens.weight");
        parameters[embedding].iter_mut().for_each(|x| *x *= 30.0);
        let (_, gradient) = train(&model, &parameters, &[9, 5], 1);
        for place in model.table().places() {
            // Along the gradient of the tensor, so that the slope stands out of the rounding of f32.
            let own = &gradient[place.range.clone()];
            let norm = own.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let step = 2e-3 / norm.max(1e-3);
            let moved = |sign: f64| {
                let mut moved = parameters.clone();
                moved[place.range.clone()].iter_mut().zip(own).for_each(|(x, g)| *x += (sign * step * f64::from(*g)) as f32);
                train(&model, &moved, &[9, 5], 1).0.nats
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            let error = (slope - norm * norm).abs();
            assert!(
                error <= 0.02 * norm * norm + 2e-3 * norm,
                "{mixing:?} {}: slope {slope}, expected {}",
                place.name,
                norm * norm
            );
        }
    }
}

#[test]
fn several_ranks_compute_what_one_does() {
    let model = Model::new(&config(&MIXINGS), VOCABULARY).unwrap();
    let parameters = model.table().begin(2);
    for documents in [&[40][..], &[3, 21, 2, 14], &[1, 5]] {
        let (loss, gradient) = train(&model, &parameters, documents, 1);
        for ranks in [2, 3, 5] {
            let (other, same) = train(&model, &parameters, documents, ranks);
            assert_eq!(loss.tokens, other.tokens);
            assert!((loss.nats - other.nats).abs() < 1e-4 * loss.nats, "{loss:?} {other:?}");
            let scale = gradient.iter().fold(0f32, |top, x| top.max(x.abs()));
            let error = gradient.iter().zip(&same).fold(0f32, |top, (a, b)| top.max((a - b).abs()));
            assert!(error < 1e-4 * scale, "{documents:?} on {ranks} ranks: {error} of {scale}");
        }
    }
}

#[test]
fn documents_beside_each_other_change_nothing() {
    let model = Model::new(&config(&MIXINGS), VOCABULARY).unwrap();
    let parameters = model.table().begin(3);
    let alone = train(&model, &parameters, &[12], 1).0;
    // The first document of both is the same; only what follows it differs.
    let beside = train(&model, &parameters, &[12, 1, 1], 1).0;
    assert_eq!(alone.tokens, beside.tokens);
    assert!((alone.nats - beside.nats).abs() < 1e-9 * alone.nats, "{alone:?} {beside:?}");
}
