//! The tensors that one rank brings to a layer: checked before anything is sent, as a family panics on wrong shapes.

use braid_kernels::attention::Tensor;

use super::ParallelError;

/// What one rank holds of a layer's inputs: the rows of its own tokens, and the parameters that all ranks have alike.
#[derive(Debug, Clone)]
pub struct Shard<'a, T> {
    /// The tensors that the family names, in its order: own tokens × width, row-major.
    pub inputs: Vec<&'a [T]>,
    /// The parameters that the family names.
    pub params: Vec<&'a [T]>,
}

/// A layer, as far as shapes go.
pub(super) struct Shapes {
    pub(super) rank: usize,
    pub(super) family: &'static str,
    pub(super) tokens: usize,
    pub(super) inputs: Vec<Tensor>,
    pub(super) params: Vec<Tensor>,
    pub(super) output_width: usize,
}

impl Shapes {
    pub(super) fn check<T>(&self, shard: &Shard<'_, T>) -> Result<(), ParallelError> {
        self.check_tensors("inputs", &self.inputs, &shard.inputs, self.tokens)?;
        self.check_tensors("parameters", &self.params, &shard.params, 1)
    }

    pub(super) fn check_d_out<T>(&self, d_out: &[T]) -> Result<(), ParallelError> {
        self.check_len("the gradient of the output", d_out.len(), self.tokens * self.output_width)
    }

    fn check_tensors<T>(&self, kind: &'static str, named: &[Tensor], given: &[&[T]], rows: usize) -> Result<(), ParallelError> {
        if named.len() != given.len() {
            let (rank, family, given, expected) = (self.rank, self.family, given.len(), named.len());
            return Err(ParallelError::Tensors { rank, family, kind, given, expected });
        }
        named.iter().zip(given).try_for_each(|(tensor, given)| self.check_len(tensor.name, given.len(), rows * tensor.width))
    }

    fn check_len(&self, tensor: &'static str, given: usize, expected: usize) -> Result<(), ParallelError> {
        let (rank, family) = (self.rank, self.family);
        if given == expected { Ok(()) } else { Err(ParallelError::TensorLength { rank, family, tensor, given, expected }) }
    }
}
