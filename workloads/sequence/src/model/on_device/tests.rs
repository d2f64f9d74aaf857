//! Trainings whose attention a device computes: those of the CPU but for rounding, also where the device has too little memory, no matrix
//! products, or fails on the way.

use super::*;
use crate::model::{
    AdamW, Epsilon, Loss, Mixing, Model, ModelConfig, Moments,
    tests::{VOCABULARY, train},
};
use braid_gpu::{
    Accelerator, GpuError, Kernel, Launch, Product, Stream,
    shim::{Otherwise, Shim, StandIn},
};
use std::sync::{
    LazyLock,
    atomic::{AtomicI64, Ordering},
};

const COVERED: [Mixing; 5] = [Mixing::Lightning, Mixing::Gla, Mixing::Linear, Mixing::DeltaNet, Mixing::Softmax];
/// Of the largest gradient of a tensor: f32 sums of a few dozen tokens in another order.
const TOLERANCE: f64 = 1e-4;

static SHIM: LazyLock<(tempfile::TempDir, Shim)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let shim = Shim::build(folder.path()).unwrap();
    (folder, shim)
});

/// Fails after some launches.
#[derive(Clone)]
struct Failing(Arc<AtomicI64>);

impl Otherwise for Failing {
    fn launch(&self, stream: &mut dyn Stream, launch: &Launch<'_>) -> Result<(), GpuError> {
        if self.0.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(GpuError::Lost { device: "a device".into(), problem: "it fell off the bus".into() });
        }
        stream.launch(launch)
    }
}

fn with(otherwise: impl Otherwise) -> Arc<dyn Accelerator> {
    Arc::new(StandIn::new(&SHIM.1, otherwise))
}

fn config(layers: &[Mixing]) -> ModelConfig {
    ModelConfig { width: 8, heads: 2, head_dim: 4, mlp_width: 12, layers: layers.to_vec(), norm_epsilon: Epsilon(1e-5) }
}

fn on(device: Arc<dyn Accelerator>, products: bool) -> Arc<Attending> {
    let (attending, problems) = Attending::on(vec![device], products);
    assert_eq!(problems, []);
    Arc::new(attending.with_least(1))
}

fn whole() -> Arc<Attending> {
    on(Arc::new(SHIM.1.clone()), true)
}

/// Loss and gradient of all ranks together.
fn gradient(model: &Model, parameters: &[f32], ranks: usize) -> (Loss, Vec<f32>) {
    train(model, parameters, &[21, 3, 34], ranks)
}

/// Parameters whose layers all matter.
fn parameters(model: &Model) -> Vec<f32> {
    let mut parameters: Vec<f32> = model.table().begin(1).iter().map(|x| x * 2.0).collect();
    parameters[model.table().range("model.embed_tokens.weight")].iter_mut().for_each(|x| *x *= 30.0);
    parameters
}

#[test]
fn gradients_are_those_of_the_cpu_but_for_rounding_on_any_ranks() {
    for layers in COVERED.map(|mixing| vec![mixing]).into_iter().chain([COVERED.to_vec()]) {
        let (cpu, gpus) = (Model::new(&config(&layers), VOCABULARY).unwrap(), whole());
        let there = Model::on(&config(&layers), VOCABULARY, &gpus).unwrap();
        let parameters = parameters(&cpu);
        for ranks in [1, 2, 3] {
            let ((expected, by_cpu), before) = (gradient(&cpu, &parameters, ranks), gpus.answered_by_devices());
            let (found, by_device) = gradient(&there, &parameters, ranks);
            // both passes of every layer of every rank, unless a lane was not free
            let answered = gpus.answered_by_devices() - before;
            assert!(answered > 0 && answered <= (2 * layers.len() * ranks) as u64, "{answered} answers for {layers:?}");
            assert!(ranks > 1 || answered == 2 * layers.len() as u64, "{answered} answers for {layers:?}");
            assert!((expected.nats - found.nats).abs() <= TOLERANCE * expected.nats, "{layers:?}: {expected:?}, {found:?}");
            for place in cpu.table().places() {
                let [cpu, device] = [&by_cpu, &by_device].map(|gradient| &gradient[place.range.clone()]);
                let size = cpu.iter().fold(1e-2, |size: f64, x| size.max(f64::from(x.abs())));
                let error = cpu.iter().zip(device).fold(0.0, |top: f64, (a, b)| top.max(f64::from((a - b).abs())));
                assert!(error <= TOLERANCE * size, "{layers:?} on {ranks} ranks, {}: {error} of {size}", place.name);
            }
        }
    }
}

#[test]
fn what_there_is_no_kernel_for_stays_on_the_cpu_to_the_last_bit() {
    for (layers, gpus) in [
        (vec![Mixing::GatedDeltaNet], whole()),
        (vec![Mixing::Softmax], on(Arc::new(SHIM.1.clone()), false)),
        (COVERED.to_vec(), Arc::new(Attending::on(vec![], true).0)),
        (COVERED.to_vec(), Arc::new(Attending::on(vec![Arc::new(SHIM.1.clone())], true).0.with_least(100_000))),
    ] {
        let cpu = Model::new(&config(&layers), VOCABULARY).unwrap();
        let there = Model::on(&config(&layers), VOCABULARY, &gpus).unwrap();
        let parameters = parameters(&cpu);
        assert_eq!(gradient(&there, &parameters, 2), gradient(&cpu, &parameters, 2), "{layers:?}");
        assert_eq!(gpus.answered_by_devices(), 0);
    }
}

/// Steps of a training, and the losses before each.
fn losses(gpus: &Arc<Attending>) -> Vec<f64> {
    let model = Model::on(&config(&COVERED), VOCABULARY, gpus).unwrap();
    let mut parameters = model.table().begin(5);
    let (optimizer, mut moments) = (AdamW { lr: 1e-2, warmup: 1, ..AdamW::default() }, Moments::zeros(parameters.len()));
    let step = |step| {
        let (loss, mut gradient) = gradient(&model, &parameters, 1);
        gradient.iter_mut().for_each(|x| *x /= loss.tokens as f32);
        optimizer.step((step, 8), &mut parameters, &gradient, &mut moments, |_| true);
        loss.nats / loss.tokens as f64
    };
    (0..8).map(step).collect()
}

#[test]
fn a_training_on_a_device_that_is_short_of_memory_or_fails_goes_on() {
    let cpu = losses(&Arc::new(Attending::cpu()));
    assert!(cpu[7] < 0.95 * cpu[0], "it learns: {cpu:?}");
    let (on_whole, short) = (whole(), on(Arc::new(SHIM.1.clone().with_memory(80_000)), true));
    let failing = on(with(Failing(Arc::new(AtomicI64::new(60)))), true);
    for (what, gpus) in [("whole", &on_whole), ("short", &short), ("failing", &failing)] {
        let found = losses(gpus);
        for (step, (found, cpu)) in found.iter().zip(&cpu).enumerate() {
            assert!((found - cpu).abs() <= 1e-3 * cpu, "{what}, step {step}: {found} where {cpu} was expected");
        }
    }
    let [all, some, few] = [&on_whole, &short, &failing].map(|gpus| gpus.answered_by_devices());
    assert_eq!(all, 8 * 2 * COVERED.len() as u64);
    assert!(0 < some && some < all, "{some} answers of a device that is short of memory");
    assert!(0 < few && few < all, "{few} answers of a device that fails");
}

type Multiply = fn(&mut dyn Stream, &Product) -> Result<(), GpuError>;

/// Does something else than it is asked for.
#[derive(Clone)]
struct Odd {
    /// The kernel that it does not run.
    left_out: Option<Kernel>,
    multiply: Multiply,
}

impl Otherwise for Odd {
    fn launch(&self, stream: &mut dyn Stream, launch: &Launch<'_>) -> Result<(), GpuError> {
        if self.left_out == Some(launch.kernel) { Ok(()) } else { stream.launch(launch) }
    }

    fn multiply(&self, stream: &mut dyn Stream, product: &Product) -> Result<(), GpuError> {
        (self.multiply)(stream, product)
    }
}

/// A device that computes something else is found out before it is used.
#[test]
fn a_device_with_other_answers_is_not_used() {
    let well: Multiply = |stream, product| stream.multiply(product);
    let odd = |left_out, multiply| with(Odd { left_out, multiply });
    let by_a_percent = || odd(None, |stream, product| stream.multiply(&Product { scale: 1.01 * product.scale, ..*product }));
    for (device, operation) in [
        (by_a_percent(), "softmax attention"),
        (odd(Some(Kernel::SoftmaxBackward), well), "softmax attention"),
        (odd(Some(Kernel::GateGradients), well), "constant decay"),
        (odd(Some(Kernel::DeltaBackward), well), "the delta rule"),
    ] {
        let (attending, problems) = Attending::on(vec![device], true);
        let said: Vec<String> = problems.iter().map(GpuError::to_string).collect();
        assert_eq!(said, [format!("the shim is not used: its answer of {operation} is not the CPU's")]);
        assert!(!attending.has_devices());
    }
    // of products it is not asked here, and so it is not found out
    assert!(Attending::on(vec![by_a_percent()], false).0.has_devices());
}

#[test]
fn a_device_whose_products_fail_computes_all_but_softmax() {
    let no_handle = |_: &mut dyn Stream, _: &Product| {
        Err(GpuError::Blas { device: "a device".into(), problem: "cublasCreate: not initialized (1)".into() })
    };
    let (attending, problems) = Attending::on(vec![with(Odd { left_out: None, multiply: no_handle })], true);
    let said: Vec<String> = problems.iter().map(GpuError::to_string).collect();
    let expected = "softmax attention of trainings is computed on the CPU: cuBLAS on a device: cublasCreate: not initialized (1)";
    assert_eq!(said, [expected]);
    let gpus = Arc::new(attending.with_least(1));
    for (layers, answers) in [(vec![Mixing::Softmax], 0), (vec![Mixing::Gla], 2)] {
        let cpu = Model::new(&config(&layers), VOCABULARY).unwrap();
        let there = Model::on(&config(&layers), VOCABULARY, &gpus).unwrap();
        let parameters = parameters(&cpu);
        let (expected, found) = (gradient(&cpu, &parameters, 1), gradient(&there, &parameters, 1));
        assert!((expected.0.nats - found.0.nats).abs() <= TOLERANCE * expected.0.nats, "{layers:?}");
        assert!(answers > 0 || found == expected, "{layers:?}: what is left to the CPU has its bits");
        assert_eq!(gpus.answered_by_devices(), answers, "{layers:?}");
    }
}
