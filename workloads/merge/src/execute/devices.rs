//! Merges whose arithmetic is done on a device: the bytes of the CPU, also where the device has too little memory or fails on the way.

use crate::{
    MergeExecute, MergeSpec,
    testing::{Tensor, context, drive, read_checkpoint, write_checkpoint},
};
use braid_gpu::{Accelerator, Arithmetic, Description, GpuError, Launch, Place, Stream, shim::Shim};
use braid_kernels::Dtype;
use serde_json::json;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

/// A device that fails after some launches.
struct Failing {
    device: Shim,
    launches: Arc<AtomicI64>,
}

struct FailingStream {
    stream: Box<dyn Stream>,
    launches: Arc<AtomicI64>,
}

impl Accelerator for Failing {
    fn description(&self) -> &Description {
        self.device.description()
    }

    fn stream(&self) -> Result<Box<dyn Stream>, GpuError> {
        Ok(Box::new(FailingStream { stream: self.device.stream()?, launches: Arc::clone(&self.launches) }))
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
        if self.launches.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(GpuError::Lost { device: "a device".into(), problem: "it fell off the bus".into() });
        }
        self.stream.launch(launch)
    }

    fn download(&mut self, from: Place, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.stream.download(from, bytes)
    }
}

/// Recipes of every kind of arithmetic that a device may do, and of one that it may not.
fn recipes() -> [String; 9] {
    let methods = [
        ("linear", "", ""),
        ("slerp", "t: 0.3", ""),
        ("ties", "normalize: true", "density: 0.4, "),
        ("dare_ties", "rescale: true", "density: 0.5, "),
        ("breadcrumbs", "lambda: 0.7", "density: 0.5, gamma: 0.05, "),
        ("della", "rescale: true", "density: 0.5, epsilon: 0.1, "),
        ("multislerp", "", ""),
        ("model_stock", "", ""),
        ("sce", "select_topk: 0.4", ""),
    ];
    methods.map(|(method, shared, own)| {
        let weight = if matches!(method, "slerp" | "model_stock" | "sce") { "" } else { "weight: 0.6" };
        let expert = |name: &str| format!("- {{model: {name}, parameters: {{{own}{weight}}}}}\n");
        let (base, models) = match method {
            "linear" | "multislerp" => ("", [expert("a"), expert("b"), expert("c")].concat()),
            "slerp" => ("base_model: a\n", [expert("a"), expert("b")].concat()),
            _ => ("base_model: a\n", [expert("b"), expert("c")].concat()),
        };
        format!("merge_method: {method}\n{base}models:\n{models}parameters: {{{shared}}}\n")
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
        let tensors: Vec<Tensor> = [("model.norm.weight", 333), ("model.layers.0.w", 70_000)]
            .into_iter()
            .zip(10 * seed..)
            .map(|((name, elements), seed)| Tensor::noise(name, Dtype::BF16, elements, seed))
            .collect();
        write_checkpoint(&root.join(model), &config, &tensors, 1);
    }
    let on = |device: Arc<dyn Accelerator>| {
        let (arithmetic, problems) = Arithmetic::on(vec![device]);
        assert_eq!(problems, []);
        Arc::new(arithmetic.with_least(1))
    };
    for (index, recipe) in recipes().iter().enumerate() {
        let cpu = merged(root, recipe, &format!("cpu-{index}"), Arc::new(Arithmetic::cpu()));
        let compare = |name: &str, arithmetic: &Arc<Arithmetic>| {
            let found = merged(root, recipe, &format!("{name}-{index}"), Arc::clone(arithmetic));
            assert!(found == cpu, "{name}: other bytes for\n{recipe}");
        };
        let whole = on(Arc::new(device.clone()));
        compare("whole", &whole);
        assert!(whole.answered_by_devices() > 0 || recipe.contains("sce"), "no device was asked for\n{recipe}");

        // room for the small tensor, and not for the other
        let short = on(Arc::new(device.clone().with_memory(150_000)));
        compare("short", &short);
        assert!(short.answered_by_devices() < whole.answered_by_devices() || recipe.contains("sce"), "{recipe}");

        let failing = on(Arc::new(Failing { device: device.clone(), launches: Arc::new(AtomicI64::new(9)) }));
        compare("failing", &failing);
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
