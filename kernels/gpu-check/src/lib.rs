//! What every device must show before it is believed: the kernels against their CPU forms, over ragged lengths and all types. The
//! tests run it on a processor, `gpu-check` on a GPU.
//!
//! A case panics where the two differ: it is made for tests, and for a program that catches it.

mod attention;
mod elementwise;
mod measure;
mod softmax;
mod statistics;
mod stored;
mod thresholds;

use braid_kernels::{
    Dtype, Slice, SliceMut,
    testing::{self, LENGTHS},
};

use braid_gpu::Lane;
pub use measure::{Measured, Report, Size, measure};
pub use stored::files_are_read_where_they_begin;

/// Something that must hold on a lane.
pub type Case = fn(&mut Lane);

/// Every case, by name.
pub const CASES: [(&str, Case); 22] = [
    ("conversions give the same bytes", elementwise::conversions_give_the_same_bytes),
    ("every edge of rounding is the same", elementwise::every_edge_of_rounding_is_the_same),
    ("sums give the same bytes", elementwise::sums_give_the_same_bytes),
    ("task vectors give the same bytes", elementwise::task_vectors_give_the_same_bytes),
    ("ties stay from the front", elementwise::ties_stay_from_the_front),
    ("the first that is not a number is named", elementwise::the_first_that_is_not_a_number_is_named),
    ("inner products have the same bits", statistics::inner_products_have_the_same_bits),
    ("many vectors take several blocks", statistics::many_vectors_take_several_blocks),
    ("norms have the same bits", statistics::norms_have_the_same_bits),
    ("an arc gives the same bytes", statistics::an_arc_gives_the_same_bytes),
    ("thresholds and ties are exact", thresholds::thresholds_and_ties_are_exact),
    ("elements that are all alike are ties", thresholds::elements_that_are_all_alike_are_ties),
    ("scans that find too many are followed by a histogram", thresholds::scans_that_find_too_many_are_followed_by_a_histogram),
    ("searches side by side are each answered", thresholds::searches_side_by_side_are_each_answered),
    ("elements are counted in intervals", thresholds::elements_are_counted_in_intervals),
    ("draws by rank are the same bit for bit", thresholds::draws_by_rank_are_the_same_bit_for_bit),
    ("chaining values are those of BLAKE3", stored::chaining_values_are_those_of_blake3),
    ("constant decay is the oracle", attention::constant_decay_is_the_oracle),
    ("constant decay on tensor cores is the oracle", attention::constant_decay_on_tensor_cores_is_the_oracle),
    ("gates are the oracle", attention::gates_are_the_oracle),
    ("the delta rule is the oracle", attention::the_delta_rule_is_the_oracle),
    ("tensors that do not fit are refused", attention::tensors_that_do_not_fit_are_refused),
];

/// Cases that need a library of matrix products, by name.
pub const PRODUCT_CASES: [(&str, Case); 4] = [
    ("softmax is the oracle", softmax::softmax_is_the_oracle),
    ("softmax in blocks is the oracle", softmax::softmax_in_blocks_is_the_oracle),
    ("large scores do not overflow", softmax::large_scores_do_not_overflow),
    ("softmax that does not fit is refused", softmax::softmax_that_does_not_fit_is_refused),
];

/// The types that have arithmetic.
const FLOATS: [Dtype; 4] = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16];
/// Why neither form may refuse what a case hands it.
const TAKEN: &str = "operands that both forms take, on a device that works";
/// Why both must refuse it.
const REFUSED: &str = "a result that is not a number";

/// A tensor of the kernels' own tests. Odd seeds have infinities.
struct Tensor {
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl Tensor {
    fn new(dtype: Dtype, length: usize, seed: u32) -> Self {
        Self { dtype, bytes: testing::bytes(dtype, length, seed) }
    }

    fn of(values: &[f32]) -> Self {
        Self { dtype: Dtype::F32, bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
    }

    fn slice(&self) -> Slice<'_> {
        Slice::new(self.dtype, &self.bytes).expect("whole elements")
    }
}

/// What `work` writes into a fresh output.
fn output<E>(dtype: Dtype, length: usize, work: impl FnOnce(&mut SliceMut<'_>) -> Result<(), E>) -> Result<Vec<u8>, E> {
    let mut bytes = vec![0; length * dtype.size()];
    work(&mut SliceMut::new(dtype, &mut bytes).expect("whole elements"))?;
    Ok(bytes)
}
