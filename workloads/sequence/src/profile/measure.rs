//! Times loads on groups of every size, all groups at once as in a training.

use super::Sample;
use crate::{
    model::{Model, ModelError},
    parallel::{Layout, SequenceGroup},
    train::{TrainError, TrainSpec},
};
use braid_kernels::attention::Documents;
use braid_workload::{Exchange, exchange::TypedExchange};
use std::time::Instant;

/// Times that a load is run; the median counts.
const REPEATS: usize = 5;

/// Every load on every degree, as rank 0 and all others see it.
///
/// # Errors
/// Those of the exchange, and a model that cannot be made.
pub(super) fn measure(
    (spec, vocabulary): (&TrainSpec, usize),
    exchange: &dyn Exchange,
    mut told: impl FnMut(&Sample),
) -> Result<Vec<Sample>, TrainError> {
    let model = Model::new(&spec.model, vocabulary)?;
    let parameters = model.table().begin(spec.seed);
    let ranks = exchange.size();
    let mut samples = vec![];
    for degree in degrees(ranks) {
        // Ranks beyond the last whole group stand by, and say that they took no time.
        let first = exchange.rank() / degree * degree;
        let group = match first + degree <= ranks {
            true => Some(exchange.split(&(first..first + degree).collect::<Vec<_>>())?),
            false => None,
        };
        for load in loads(spec, degree) {
            let mut times = vec![];
            for _ in 0..REPEATS {
                exchange.barrier()?;
                times.push(match &group {
                    Some(group) => pass((&model, vocabulary), &parameters, &**group, &load)?,
                    None => 0.0,
                });
            }
            times.sort_by(f64::total_cmp);
            let mut all = vec![0.0f64; ranks];
            exchange.all_gather_values(&[times[REPEATS / 2]], &mut all)?;
            let groups: Vec<f64> = all.chunks_exact(degree).map(|group| group.iter().copied().fold(0.0, f64::max)).collect();
            let sum = |power: i32| load.iter().map(|&length| (length as f64).powi(power)).sum();
            let sample = Sample {
                degree: u32::try_from(degree).unwrap_or(u32::MAX),
                tokens: sum(1),
                squares: sum(2),
                millis: groups.iter().sum::<f64>() / groups.len() as f64,
            };
            told(&sample);
            samples.push(sample);
        }
    }
    Ok(samples)
}

/// One forward and backward pass over sequences of these lengths, in milliseconds.
fn pass(
    (model, vocabulary): (&Model, usize),
    parameters: &[f32],
    group: &dyn Exchange,
    load: &[usize],
) -> Result<f64, TrainError> {
    let documents = Documents::of_lengths(load.iter().copied());
    let scattered = |token: u32| (u64::from(token.wrapping_mul(2_654_435_761)) * vocabulary as u64) >> 32;
    let tokens: Vec<u32> = (0..documents.tokens() as u32).map(|token| scattered(token) as u32).collect();
    let layout = Layout::balanced(documents, group.size());
    let mut gradient = vec![0.0; parameters.len()];
    let start = Instant::now();
    let ranks = SequenceGroup::new(group, &layout).map_err(ModelError::from)?;
    model.train(parameters, &ranks, &tokens, 1.0, &mut gradient)?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// 1, 2, 4, … and all.
fn degrees(ranks: usize) -> Vec<usize> {
    let mut degrees: Vec<usize> = (0..usize::BITS).map(|power| 1 << power).take_while(|&degree| degree <= ranks).collect();
    if degrees.last() != Some(&ranks) {
        degrees.push(ranks);
    }
    degrees
}

/// Lengths of the sequences of each load: one long sequence, or as many tokens in short ones.
fn loads(spec: &TrainSpec, degree: usize) -> Vec<Vec<usize>> {
    let room = usize::try_from(spec.tokens_per_rank).unwrap_or(usize::MAX).saturating_mul(degree);
    let longest = spec.context.min(room).max(2);
    let mut loads: Vec<Vec<usize>> = vec![];
    for share in [16, 8, 4, 2, 1] {
        let length = (longest / share).max(2);
        loads.push(vec![length]);
        if share <= 4 && length >= 16 {
            loads.push(vec![length / 8; 8]);
        }
    }
    loads.dedup();
    loads
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_workload::exchange::local;

    #[test]
    fn all_ranks_see_the_same_samples_of_every_degree() {
        let text = "documents: [x]\ncontext: 64\nmodel: { width: 8, heads: 1, head_dim: 8, mlp_width: 8, layers: [gla, softmax] }\n\
                    ranks: 3\ntokens_per_rank: 64\nsteps: 1\nsequences_per_step: 1\n";
        let spec = &TrainSpec::parse("p.yml", text).unwrap();
        let all: Vec<Vec<Sample>> = std::thread::scope(|scope| {
            let ranks: Vec<_> = local::group(3)
                .into_iter()
                .map(|exchange| scope.spawn(move || measure((spec, 300), &exchange, |_| ()).unwrap()))
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        assert!(all.iter().all(|samples| samples == &all[0]));
        let degrees: std::collections::BTreeSet<u32> = all[0].iter().map(|sample| sample.degree).collect();
        assert_eq!(degrees, [1, 2, 3].into());
        assert!(all[0].iter().all(|sample| sample.millis > 0.0));
        assert!(super::super::fit(&all[0]).is_some());
    }
}
