//! Sequence-parallel layers over sockets: every split of one to eight ranks is one rank, as over the exchange in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use braid_kernels::attention::{
    AxialCombiner, Combiner, Documents, Gathered, Gla, Gradients, HedgehogForm, Hydra, Kda, LightNet, LinearAttention,
    LogsparseCombiner, Lolcats, Mixer, Softmax, SoftmaxHeads, Span, StateShape, Tensor,
};
use braid_sequence::parallel::{Layout, SequenceGroup, Shard};
use braid_worker::exchange::tcp::{GroupId, GroupSpec, Listener, Token, connect};
use braid_workload::{Exchange, JobId, TaskId, exchange::ScanMethod};
use tokio_util::sync::CancellationToken;

const DOCUMENTS: [usize; 4] = [70, 3, 130, 41];
/// Of outputs, relative to the largest; gradients may be ten times as far apart: those of the tests over the exchange in memory.
const TOLERANCE: f64 = 1e-11;

/// Runs a program on so many ranks that are connected by sockets; results in rank order.
fn on_ranks<R: Send>(size: usize, program: impl Fn(Arc<dyn Exchange>) -> R + Sync) -> Vec<R> {
    static EPOCH: AtomicU64 = AtomicU64::new(1);
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let id = GroupId { first: TaskId { job: JobId(3), index: 0 }, epoch: EPOCH.fetch_add(1, Ordering::Relaxed) };
    let (listener, program) = (&listener, &program);
    thread::scope(|scope| {
        let rank = |rank| {
            let spec = GroupSpec {
                id,
                rank,
                members: vec![listener.address().to_string(); size],
                token: Token::new(b"secret"),
                deadline: Duration::from_secs(20),
                cancel: CancellationToken::new(),
            };
            scope.spawn(move || program(Arc::new(connect(listener, &spec).unwrap())))
        };
        let ranks: Vec<_> = (0..size).map(rank).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Lengths that add up to all tokens: ranks without any, with one, and as equal as may be.
fn splits(tokens: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> =
        (1..=8).map(|ranks| (0..ranks).map(|rank| tokens * (rank + 1) / ranks - tokens * rank / ranks).collect()).collect();
    all.push(vec![0, 1, tokens - 66, 0, 65]);
    all.push(vec![1, 1, 1, 0, 0, 1, tokens - 4, 0]);
    all
}

struct Tensors {
    inputs: Vec<Vec<f64>>,
    params: Vec<Vec<f64>>,
    widths: Vec<usize>,
}

/// Gates are negative, betas lie between 0 and 1.
fn number(name: &str, i: usize) -> f64 {
    let x = (1.3 + i as f64 * 0.737 + name.len() as f64).sin();
    match name {
        "g" | "g reverse" => -x.abs() / 4.0,
        "beta" => 0.5 + x / 2.1,
        _ => x,
    }
}

impl Tensors {
    fn new(inputs: &[Tensor], params: &[Tensor], tokens: usize) -> Self {
        let tensor = |tensor: &Tensor, rows: usize| (0..rows * tensor.width).map(|i| number(tensor.name, i)).collect();
        Self {
            inputs: inputs.iter().map(|input| tensor(input, tokens)).collect(),
            params: params.iter().map(|param| tensor(param, 1)).collect(),
            widths: inputs.iter().map(|input| input.width).collect(),
        }
    }

    fn shard(&self, own: &std::ops::Range<usize>) -> Shard<'_, f64> {
        let inputs = self.inputs.iter().zip(&self.widths);
        Shard {
            inputs: inputs.map(|(input, width)| &input[own.start * width..own.end * width]).collect(),
            params: self.params.iter().map(Vec::as_slice).collect(),
        }
    }

    fn whole<'a>(&'a self, documents: &'a Documents) -> Span<'a, f64> {
        let all = 0..documents.tokens();
        let Shard { inputs, params } = self.shard(&all);
        Span { documents, rows: all.clone(), own: all, inputs, params }
    }
}

fn close(actual: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    let largest = expected.iter().fold(1e-2f64, |largest, x| largest.max(x.abs()));
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert!((actual - expected).abs() <= tolerance * largest, "{what}: element {i} is {actual} instead of {expected}");
    }
}

/// Outputs and gradients of ranks, in rank order, against those of the whole.
fn compare(parts: Vec<(Vec<f64>, Gradients<f64>)>, (out, gradients): &(Vec<f64>, Gradients<f64>), what: &str) {
    let outs: Vec<f64> = parts.iter().flat_map(|part| &part.0).copied().collect();
    close(&outs, out, TOLERANCE, &format!("{what}: output"));
    for (i, expected) in gradients.inputs.iter().enumerate() {
        let joined: Vec<f64> = parts.iter().flat_map(|part| &part.1.inputs[i]).copied().collect();
        close(&joined, expected, 10.0 * TOLERANCE, &format!("{what}: gradient of input {i}"));
    }
    for (i, expected) in gradients.params.iter().enumerate() {
        let mut sum = vec![0.0; expected.len()];
        parts.iter().for_each(|part| sum.iter_mut().zip(&part.1.params[i]).for_each(|(sum, x)| *sum += x));
        close(&sum, expected, 10.0 * TOLERANCE, &format!("{what}: gradient of parameter {i}"));
    }
}

fn documents() -> Documents {
    Documents::of_lengths(DOCUMENTS)
}

fn mixer_on_sockets(mixer: &dyn Mixer<f64>) {
    let tokens = documents().tokens();
    let tensors = Tensors::new(&mixer.inputs(), &mixer.params(), tokens);
    let d_out: Vec<f64> = (0..tokens * mixer.output_width()).map(|i| number("d_out", i)).collect();
    let documents = documents();
    let span = tensors.whole(&documents);
    let mut alone = (vec![0.0; d_out.len()], Gradients::zeros(&span));
    mixer.forward(&span, &mut |_| {}, &mut alone.0);
    let states: Vec<f64> = mixer.states().iter().flat_map(StateShape::empty_state).collect();
    mixer.backward(&span, &states, &d_out, &mut |_| {}, &mut alone.1);
    for lengths in splits(tokens) {
        let layout = Layout::of_lengths(documents.clone(), &lengths).unwrap();
        for method in [ScanMethod::Gather, ScanMethod::LogStep] {
            let parts = on_ranks(lengths.len(), |exchange| {
                let group = SequenceGroup::new(&*exchange, &layout).unwrap().with_method(method);
                let own = layout.own(group.rank());
                let (shard, width) = (tensors.shard(&own), mixer.output_width());
                let mixed = group.forward(mixer, &shard).unwrap();
                let d_out = &d_out[own.start * width..own.end * width];
                (mixed.out, group.backward(mixer, &shard, &mixed.kept, d_out).unwrap())
            });
            compare(parts, &alone, &format!("{} over {lengths:?} by {method:?}", mixer.name()));
        }
    }
}

fn gathered_on_sockets(family: &dyn Gathered<f64>) {
    let tokens = documents().tokens();
    let tensors = Tensors::new(&family.inputs(), &family.params(), tokens);
    let d_out: Vec<f64> = (0..tokens * family.output_width()).map(|i| number("d_out", i)).collect();
    let documents = documents();
    let span = tensors.whole(&documents);
    let mut alone = (vec![0.0; d_out.len()], Gradients::zeros(&span));
    let shared = family.contribute(&span);
    let mut d_shared = vec![0.0; shared.len()];
    family.forward(&span, &shared, &mut alone.0);
    family.backward(&span, &shared, &d_out, &mut d_shared, &mut alone.1);
    family.contribute_backward(&span, &d_shared, &mut alone.1);
    for lengths in splits(tokens) {
        let layout = Layout::of_lengths(documents.clone(), &lengths).unwrap();
        let parts = on_ranks(lengths.len(), |exchange| {
            let group = SequenceGroup::new(&*exchange, &layout).unwrap();
            let own = layout.own(group.rank());
            let (shard, width) = (tensors.shard(&own), family.output_width());
            let attended = group.forward_gathered(family, &shard).unwrap();
            let d_out = &d_out[own.start * width..own.end * width];
            (attended.out, group.backward_gathered(family, &shard, &attended.kept, d_out).unwrap())
        });
        compare(parts, &alone, &format!("{} over {lengths:?}", family.name()));
    }
}

#[test]
fn layers_with_a_state_are_one_rank_over_any_split_on_sockets() {
    mixer_on_sockets(&LinearAttention::new(2, 4, 3));
    mixer_on_sockets(&Gla::new(2, 4, 3));
    mixer_on_sockets(&Kda::new(2, 4, 3));
    mixer_on_sockets(&LightNet { heads: 2, key_width: 4, value_width: 3 });
    mixer_on_sockets(&Hydra { heads: 1, key: 4, value: 3 });
    mixer_on_sockets(&Lolcats { heads: 1, key: 3, value: 2, features: 2, form: HedgehogForm::Two, window: 9, scale: 0.6 });
}

#[test]
fn layers_that_gather_are_one_rank_over_any_split_on_sockets() {
    let heads = SoftmaxHeads { queries: 4, keys: 2, key_width: 3, value_width: 5, scale: 0.7 };
    gathered_on_sockets(&Softmax { heads });
    gathered_on_sockets(&Combiner { heads: 2, key_width: 3, value_width: 4, region: 11, scale: 0.6 });
    gathered_on_sockets(&LogsparseCombiner { heads: 2, key_width: 3, value_width: 4, region: 4, scale: 0.6 });
    gathered_on_sockets(&AxialCombiner { heads: 2, key_width: 3, value_width: 4, row: 11, scale: 0.6 });
}
