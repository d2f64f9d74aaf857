//! Merges whose arithmetic is done on a device: the bytes of the CPU, also where the device has too little memory or fails on the way.

use crate::{
    MergeExecute, MergeSpec,
    testing::{Tensor, context, drive, read_checkpoint, write_checkpoint},
};
use braid_gpu::{
    Accelerator, Arithmetic, GpuError, Kernel, Launch, Place, Storage, StoredFile, Stream,
    shim::{Otherwise, Shim, StandIn},
};
use braid_kernels::Dtype;
use serde_json::json;
use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

/// Fails after some launches, reads no more than some bytes of files, and knows which kernels it ran.
#[derive(Clone)]
struct Failing {
    launches: Arc<AtomicI64>,
    readable: Arc<AtomicI64>,
    ran: Arc<Mutex<HashSet<Kernel>>>,
}

impl Failing {
    fn after(launches: i64) -> Self {
        Self { launches: Arc::new(AtomicI64::new(launches)), readable: Arc::new(AtomicI64::new(i64::MAX)), ran: Arc::default() }
    }

    /// The kernels that it ran since it was asked last.
    fn ran(&self) -> HashSet<Kernel> {
        std::mem::take(&mut *self.ran.lock().unwrap())
    }
}

impl Otherwise for Failing {
    fn launch(&self, stream: &mut dyn Stream, launch: &Launch<'_>) -> Result<(), GpuError> {
        if self.launches.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(GpuError::Lost { device: "a device".into(), problem: "it fell off the bus".into() });
        }
        self.ran.lock().unwrap().insert(launch.kernel);
        stream.launch(launch)
    }

    fn read(&self, stream: &mut dyn Stream, file: &StoredFile, offset: u64, to: Place) -> Result<(), GpuError> {
        let bytes = to.bytes as i64;
        // where there is nothing, a file fails
        let there = self.readable.fetch_sub(bytes, Ordering::SeqCst) >= bytes;
        stream.read(file, if there { offset } else { 1 << 60 }, to)
    }
}

/// Recipes of every kind of arithmetic that a device may do, each with a kernel that it cannot do without, and of one that it may not.
fn recipes() -> [(String, Option<Kernel>); 12] {
    let methods = [
        ("linear", "", "", Some(Kernel::Linear)),
        ("slerp", "t: 0.3", "", Some(Kernel::Gram)),
        ("ties", "normalize: true", "density: 0.4, ", Some(Kernel::Scan)),
        ("dare_ties", "rescale: true", "density: 0.5, ", Some(Kernel::L1)),
        ("breadcrumbs", "lambda: 0.7", "density: 0.5, gamma: 0.05, ", Some(Kernel::Scan)),
        ("breadcrumbs_ties", "", "density: 0.3, gamma: 0.02, ", Some(Kernel::Scan)),
        ("della", "rescale: true", "density: 0.5, epsilon: 0.1, ", Some(Kernel::DrawRanked)),
        ("della_linear", "", "density: 0.6, epsilon: 0.2, ", Some(Kernel::DrawRanked)),
        ("ties_published", "", "density: 0.4", Some(Kernel::Histogram)),
        ("multislerp", "", "", Some(Kernel::Gram)),
        ("model_stock", "", "", Some(Kernel::Gram)),
        ("sce", "select_topk: 0.4", "", None),
    ];
    methods.map(|(method, shared, own, kernel)| {
        let weight = if matches!(method, "slerp" | "model_stock" | "sce" | "ties_published") { "" } else { "weight: 0.6" };
        let expert = |name: &str| format!("- {{model: {name}, parameters: {{{own}{weight}}}}}\n");
        let (base, models) = match method {
            "linear" | "multislerp" => ("", [expert("a"), expert("b"), expert("c")].concat()),
            "slerp" => ("base_model: a\n", [expert("a"), expert("b")].concat()),
            _ => ("base_model: a\n", [expert("b"), expert("c")].concat()),
        };
        (format!("merge_method: {method}\n{base}models:\n{models}parameters: {{{shared}}}\n"), kernel)
    })
}

fn merged(root: &Path, recipe: &str, out: &str, arithmetic: Arc<Arithmetic>) -> Vec<Tensor> {
    let spec = MergeSpec {
        recipe: recipe.into(),
        recipe_file: "recipe.yml".into(),
        directory: root.to_owned(),
        out: root.join(out),
        max_shard_size: 1 << 30,
        seed: 7,
        reuse: None,
    };
    drive(&MergeExecute::with(arithmetic), &serde_json::to_value(spec).unwrap(), &context(2, 256 << 20))
        .unwrap_or_else(|failure| panic!("{recipe}: {failure:?}"));
    read_checkpoint(&root.join(out))
}

/// One test, so that the device is compiled once.
#[test]
fn devices_change_no_byte() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    let device = Shim::build(root).unwrap();
    let config = json!({"num_hidden_layers": 1, "torch_dtype": "bfloat16"});
    for (model, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        let shapes: [(&str, &[u64]); 3] =
            [("model.norm.weight", &[333]), ("model.layers.0.v", &[70_000]), ("model.layers.0.w", &[89, 1000])];
        let tensors: Vec<Tensor> = shapes
            .into_iter()
            .zip(10 * seed..)
            .map(|((name, shape), seed)| Tensor {
                shape: shape.to_vec(),
                ..Tensor::noise(name, Dtype::BF16, shape.iter().product(), seed)
            })
            .collect();
        write_checkpoint(&root.join(model), &config, &tensors, 1);
    }
    let on = |device: Arc<dyn Accelerator>| {
        let (arithmetic, problems) = Arithmetic::on(vec![device]);
        assert_eq!(problems, []);
        arithmetic
    };
    let with = |otherwise: &Failing| -> Arc<dyn Accelerator> { Arc::new(StandIn::new(&device, otherwise.clone())) };
    for (index, (recipe, kernel)) in recipes().iter().enumerate() {
        let cpu = merged(root, recipe, &format!("cpu-{index}"), Arc::new(Arithmetic::cpu()));
        let compare = |name: &str, arithmetic: &Arc<Arithmetic>| {
            let found = merged(root, recipe, &format!("{name}-{index}"), Arc::clone(arithmetic));
            assert!(found == cpu, "{name}: other bytes for\n{recipe}");
        };
        let counting = Failing::after(i64::MAX);
        let whole = Arc::new(on(with(&counting)).with_least(1));
        counting.ran(); // what it was asked before
        compare("whole", &whole);
        let ran = counting.ran();
        match kernel {
            Some(kernel) => assert!(ran.contains(kernel), "{ran:?} for\n{recipe}"),
            None => assert_eq!(ran, HashSet::new(), "{recipe}"),
        }

        // room for the small tensor, and not for the others
        let short = Arc::new(on(Arc::new(device.clone().with_memory(150_000))).with_least(1));
        compare("short", &short);
        assert!(short.answered_by_devices() < whole.answered_by_devices() || kernel.is_none(), "{recipe}");

        // all that it is asked before, and a few more
        compare("failing", &Arc::new(on(with(&Failing::after(12))).with_least(1)));

        // with files that it reads by itself: all, some, and none; what it does not read is computed on the CPU
        for (name, bytes) in [("reading", i64::MAX), ("reading-some", 600_000), ("reading-none", 0)] {
            let reading = Failing::after(i64::MAX);
            let arithmetic = Arc::new(on(with(&reading)).with_least(usize::MAX).with_storage(Storage::plain()));
            reading.readable.store(bytes, Ordering::SeqCst);
            reading.ran();
            compare(name, &arithmetic);
            let (ran, read) = (reading.ran(), bytes - reading.readable.load(Ordering::SeqCst));
            // what is looked for in whole models is read by the CPU, and so is what has no kernel
            let reads = !matches!(kernel, None | Some(Kernel::Histogram));
            assert_eq!(read > 0, reads, "{name}: {read} bytes for\n{recipe}");
            // della looks at rows first: inputs are hashed by who reads them first
            let first = reads && *kernel != Some(Kernel::DrawRanked);
            assert_eq!(ran.contains(&Kernel::ChunkValues), first && bytes > 0, "{name}: {ran:?} for\n{recipe}");
        }
    }
}

/// A device that computes something else is found out before it is used.
#[test]
fn a_device_with_other_answers_is_not_used() {
    #[derive(Clone)]
    struct Wrong;
    impl Otherwise for Wrong {
        fn download(&self, stream: &mut dyn Stream, from: Place, bytes: &mut [u8]) -> Result<(), GpuError> {
            stream.download(from, bytes)?;
            // one bit of an output, not of the place of a NaN
            if let (1.., Some(byte)) = (bytes.len() / 9, bytes.last_mut()) {
                *byte ^= 1;
            }
            Ok(())
        }
    }
    let scratch = tempfile::tempdir().unwrap();
    let device = Shim::build(scratch.path()).unwrap();
    let (arithmetic, problems) = Arithmetic::on(vec![Arc::new(StandIn::new(&device, Wrong))]);
    let said: Vec<String> = problems.iter().map(GpuError::to_string).collect();
    assert_eq!(said, ["the shim is not used: its answer of task_vectors is not the CPU's"]);
    assert_eq!(arithmetic.answered_by_devices(), 0);
}
