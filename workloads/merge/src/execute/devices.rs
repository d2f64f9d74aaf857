//! Merges whose arithmetic is done on a device: the bytes of the CPU, also where the device has too little memory or fails on the way.

use crate::{
    MergeExecute, MergeSpec,
    testing::{Tensor, context, drive, read_checkpoint, write_checkpoint},
};
use braid_gpu::{Accelerator, Arithmetic, Description, GpuError, Kernel, Launch, Place, Stream, shim::Shim};
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

/// A device that fails after some launches, and knows which kernels it ran.
#[derive(Clone)]
struct Failing {
    device: Shim,
    launches: Arc<AtomicI64>,
    ran: Arc<Mutex<HashSet<Kernel>>>,
}

struct FailingStream {
    stream: Box<dyn Stream>,
    of: Failing,
}

impl Failing {
    fn after(launches: i64, device: &Shim) -> Self {
        Self { device: device.clone(), launches: Arc::new(AtomicI64::new(launches)), ran: Arc::default() }
    }
}

impl Accelerator for Failing {
    fn description(&self) -> &Description {
        self.device.description()
    }

    fn stream(&self) -> Result<Box<dyn Stream>, GpuError> {
        Ok(Box::new(FailingStream { stream: self.device.stream()?, of: self.clone() }))
    }
}

impl Stream for FailingStream {
    fn allocate(&mut self, bytes: usize) -> Result<Place, GpuError> {
        self.stream.allocate(bytes)
    }

    fn release(&mut self, place: Place) {
        self.stream.release(place);
    }

    fn upload(&mut self, bytes: &[u8], to: Place) -> Result<(), GpuError> {
        self.stream.upload(bytes, to)
    }

    fn fill(&mut self, byte: u8, place: Place) -> Result<(), GpuError> {
        self.stream.fill(byte, place)
    }

    fn copy(&mut self, from: Place, to: Place) -> Result<(), GpuError> {
        self.stream.copy(from, to)
    }

    fn launch(&mut self, launch: &Launch<'_>) -> Result<(), GpuError> {
        if self.of.launches.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(GpuError::Lost { device: "a device".into(), problem: "it fell off the bus".into() });
        }
        self.of.ran.lock().unwrap().insert(launch.kernel);
        self.stream.launch(launch)
    }

    fn download(&mut self, from: Place, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.stream.download(from, bytes)
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
        Arc::new(arithmetic.with_least(1))
    };
    for (index, (recipe, kernel)) in recipes().iter().enumerate() {
        let cpu = merged(root, recipe, &format!("cpu-{index}"), Arc::new(Arithmetic::cpu()));
        let compare = |name: &str, arithmetic: &Arc<Arithmetic>| {
            let found = merged(root, recipe, &format!("{name}-{index}"), Arc::clone(arithmetic));
            assert!(found == cpu, "{name}: other bytes for\n{recipe}");
        };
        let counting = Failing::after(i64::MAX, &device);
        let whole = on(Arc::new(counting.clone()));
        counting.ran.lock().unwrap().clear(); // what it was asked before
        compare("whole", &whole);
        let ran = counting.ran.lock().unwrap().clone();
        match kernel {
            Some(kernel) => assert!(ran.contains(kernel), "{ran:?} for\n{recipe}"),
            None => assert_eq!(ran, HashSet::new(), "{recipe}"),
        }

        // room for the small tensor, and not for the others
        let short = on(Arc::new(device.clone().with_memory(150_000)));
        compare("short", &short);
        assert!(short.answered_by_devices() < whole.answered_by_devices() || kernel.is_none(), "{recipe}");

        // all that it is asked before, and a few more
        compare("failing", &on(Arc::new(Failing::after(11, &device))));
    }
}

/// A device that computes something else is found out before it is used.
#[test]
fn a_device_with_other_answers_is_not_used() {
    struct Wrong(Shim);
    struct WrongStream(Box<dyn Stream>);
    impl Accelerator for Wrong {
        fn description(&self) -> &Description {
            self.0.description()
        }

        fn stream(&self) -> Result<Box<dyn Stream>, GpuError> {
            Ok(Box::new(WrongStream(self.0.stream()?)))
        }
    }
    impl Stream for WrongStream {
        fn allocate(&mut self, bytes: usize) -> Result<Place, GpuError> {
            self.0.allocate(bytes)
        }

        fn release(&mut self, place: Place) {
            self.0.release(place);
        }

        fn upload(&mut self, bytes: &[u8], to: Place) -> Result<(), GpuError> {
            self.0.upload(bytes, to)
        }

        fn fill(&mut self, byte: u8, place: Place) -> Result<(), GpuError> {
            self.0.fill(byte, place)
        }

        fn copy(&mut self, from: Place, to: Place) -> Result<(), GpuError> {
            self.0.copy(from, to)
        }

        fn launch(&mut self, launch: &Launch<'_>) -> Result<(), GpuError> {
            self.0.launch(launch)
        }

        fn download(&mut self, from: Place, bytes: &mut [u8]) -> Result<(), GpuError> {
            self.0.download(from, bytes)?;
            // one bit of an output, not of the place of a NaN
            if let (1.., Some(byte)) = (bytes.len() / 9, bytes.last_mut()) {
                *byte ^= 1;
            }
            Ok(())
        }
    }
    let scratch = tempfile::tempdir().unwrap();
    let (arithmetic, problems) = Arithmetic::on(vec![Arc::new(Wrong(Shim::build(scratch.path()).unwrap()))]);
    let said: Vec<String> = problems.iter().map(GpuError::to_string).collect();
    assert_eq!(said, ["the shim is not used: its answer of task_vectors is not the CPU's"]);
    assert_eq!(arithmetic.answered_by_devices(), 0);
}
