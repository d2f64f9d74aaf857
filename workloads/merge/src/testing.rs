//! What tests of several modules need: checkpoints on disk and a context to run in.

use crate::{
    MergeError, MergeExecute, MergeSpec, MergeWorkload,
    checkpoint::DataFile,
    output::{Shard, ShardFile},
    run::{Buffers, Input, Origin, Passes, Phases, Stored, Target, TensorDigests, Tiles},
};
use braid_gpu::Arithmetic;
use braid_kernels::{Dtype, GRANULE};
use braid_workload::{Advance, AttemptId, Execute, Failure, JobId, JobResult, Progress, TaskContext, TaskId, Workload};
use safetensors::tensor::TensorView;
use serde_json::Value;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

static CPU: Arithmetic = Arithmetic::cpu();

/// A tensor with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
    pub(crate) bytes: Vec<u8>,
}

impl Tensor {
    /// An f32 tensor.
    pub(crate) fn f32(name: &str, shape: &[u64], values: impl IntoIterator<Item = f32>) -> Self {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        Self { name: name.into(), dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// A tensor of small numbers that `seed` chooses.
    pub(crate) fn noise(name: &str, dtype: Dtype, elements: u64, seed: u64) -> Self {
        let mut random = fastrand_like(seed);
        let mut bytes = Vec::new();
        for _ in 0..elements {
            let value = (random() % 4001) as f32 / 1000.0 - 2.0;
            match dtype {
                Dtype::F64 => bytes.extend(f64::from(value).to_le_bytes()),
                Dtype::F32 => bytes.extend(value.to_le_bytes()),
                Dtype::BF16 => bytes.extend(half::bf16::from_f32(value).to_le_bytes()),
                Dtype::F16 => bytes.extend(half::f16::from_f32(value).to_le_bytes()),
                other => bytes.extend(std::iter::repeat_n(value as u8, other.size())),
            }
        }
        Self { name: name.into(), dtype, shape: vec![elements], bytes }
    }
}

fn fastrand_like(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

/// Writes a safetensors file with the reference crate.
pub(crate) fn write_safetensors(path: &Path, tensors: &[Tensor]) {
    let views: Vec<_> = tensors.iter().map(view).collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    std::fs::write(path, safetensors::serialize(views, Some(metadata)).expect("tensors")).expect("a file");
}

fn view(tensor: &Tensor) -> (String, TensorView<'_>) {
    let dtype = serde_json::from_str(&format!("{:?}", tensor.dtype.name())).expect("a dtype of the crate");
    let shape = tensor.shape.iter().map(|&n| n as usize).collect();
    (tensor.name.clone(), TensorView::new(dtype, shape, &tensor.bytes).expect("bytes of the shape"))
}

/// Writes a checkpoint of `shards` files.
pub(crate) fn write_checkpoint(root: &Path, config: &Value, tensors: &[Tensor], shards: usize) {
    std::fs::create_dir_all(root).expect("a folder");
    std::fs::write(root.join("config.json"), config.to_string()).expect("a file");
    if shards == 1 {
        return write_safetensors(&root.join("model.safetensors"), tensors);
    }
    let mut map = serde_json::Map::new();
    for (shard, part) in tensors.chunks(tensors.len().div_ceil(shards)).enumerate() {
        let name = format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
        write_safetensors(&root.join(&name), part);
        map.extend(part.iter().map(|tensor| (tensor.name.clone(), name.clone().into())));
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    std::fs::write(root.join("model.safetensors.index.json"), index.to_string()).expect("a file");
}

/// Reads all tensors of a checkpoint with the reference crate, by name.
pub(crate) fn read_checkpoint(root: &Path) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    for entry in std::fs::read_dir(root).expect("a folder").flatten() {
        if entry.path().extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let bytes = std::fs::read(entry.path()).expect("a file");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
        for (name, view) in file.tensors() {
            let dtype = Dtype::parse(&view.dtype().to_string()).expect("a dtype that we write");
            let shape = view.shape().iter().map(|&n| n as u64).collect();
            tensors.push(Tensor { name, dtype, shape, bytes: view.data().to_vec() });
        }
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

/// A context of a worker with this many threads and this much memory.
pub(crate) fn context(threads: usize, memory: u64) -> TaskContext {
    TaskContext {
        task: JobId(1).task(0),
        attempt: AttemptId(1),
        cancel: Default::default(),
        progress: Arc::new(Progress::default()),
        log: Arc::new(|_| {}),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")),
        memory,
        gpus: Vec::new(),
        membership: None,
    }
}

/// What a method makes of `inputs`, run over files in a temporary folder; model `i` is named `m<i>`.
pub(crate) fn merge_tensor(
    inputs: &[Tensor],
    dtype: Dtype,
    context: &TaskContext,
    method: impl Fn(&Tiles<'_>) -> Result<(), MergeError> + Sync,
) -> Result<(Vec<u8>, TensorDigests), MergeError> {
    const PREFIX: u64 = 24; // tensors seldom start at the start of a file
    let folder = tempfile::tempdir().expect("a folder");
    let names: Vec<String> = (0..inputs.len()).map(|i| format!("m{i}")).collect();
    let mut sources = Vec::new();
    for (model, tensor) in names.iter().zip(inputs) {
        let path = folder.path().join(model);
        std::fs::write(&path, [&[7; PREFIX as usize][..], &tensor.bytes].concat()).expect("a file");
        let file = Arc::new(DataFile::open(&path)?);
        let stored = Stored { file, offset: PREFIX, dtype: tensor.dtype, lens: None };
        sources.push(Input { model: model.into(), origin: Origin::Stored(stored) });
    }
    let tile_bytes = GRANULE as u64 * inputs.iter().map(|t| t.dtype.size() as u64).sum::<u64>();
    let (threads, memory) = (context.pool.current_num_threads(), context.memory);
    let passes = Passes {
        context,
        buffers: Buffers::new(threads, tile_bytes, memory),
        memory,
        phases: Phases::new(),
        arithmetic: &CPU,
        answers: &[],
        read: AtomicU64::new(0),
    };
    let shape = &inputs[0].shape;
    let out = folder.path().join("out");
    let bytes = shape.iter().product::<u64>() * dtype.size() as u64;
    let shard = Shard { name: "out".into(), header: vec![9; PREFIX as usize], bytes: PREFIX + bytes, tensors: vec![0] };
    ShardFile::prepare(&out, &shard)?;
    let target = Target { name: "w", dtype, shape, file: Arc::new(ShardFile::open(&out)?), offset: PREFIX, scaling: None };
    let tiles = Tiles::new(target, sources, &passes)?;
    context.pool.install(|| method(&tiles))?;
    Ok((std::fs::read(&out).expect("a file")[PREFIX as usize..].to_vec(), tiles.finish()?))
}

/// The spec of a job that merges by the recipe in the folder `root`, into `out` there.
pub(crate) fn spec(root: &Path, recipe: &str, out: &str) -> Value {
    let spec = MergeSpec {
        recipe: recipe.into(),
        recipe_file: "recipe.yml".into(),
        directory: root.to_owned(),
        out: root.join(out),
        max_shard_size: 1 << 30,
        seed: 0,
        reuse: None,
    };
    serde_json::to_value(spec).expect("a spec")
}

/// Runs a merge of the recipe in the folder `root`, into `out` there, as a coordinator and one worker would.
pub(crate) fn merge(root: &Path, recipe: &str, out: &str, threads: usize) -> Result<JobResult, Failure> {
    drive(&MergeExecute::new(), &spec(root, recipe, out), &context(threads, 256 << 20))
}

/// Runs the tasks of a job, as the deciding half orders them.
pub(crate) fn drive(execute: &MergeExecute, spec: &Value, context: &TaskContext) -> Result<JobResult, Failure> {
    let mut tasks = MergeWorkload.plan(spec).expect("a plan").tasks;
    let (mut index, mut state) = (0, Value::Null);
    while let Some(task) = tasks.pop() {
        let context = TaskContext { task: TaskId { index, ..context.task }, ..context.clone() };
        let value = execute.run(spec, &task, &context)?;
        match MergeWorkload.advance(spec, &state, &task, &value, tasks.len()).expect("a decision") {
            Advance::Continue { tasks: more, state: next } => {
                tasks.extend(more);
                state = next.unwrap_or(state);
            }
            Advance::Finished(result) => return Ok(result),
            Advance::Failed(failure) => return Err(failure),
        }
        index += 1;
    }
    panic!("the job ended without a result");
}

/// Writes a LoRA adapter.
pub(crate) fn write_adapter(root: &Path, config: &Value, tensors: &[Tensor]) {
    std::fs::create_dir_all(root).expect("a folder");
    std::fs::write(root.join("adapter_config.json"), config.to_string()).expect("a file");
    write_safetensors(&root.join("adapter_model.safetensors"), tensors);
}
