//! Matrices as views of slices, and their product by the `gemm` crate. Checked at the border, so that the product itself is the
//! only unsafe call of attention.

use super::Real;

/// A matrix that someone else owns: `rows` × `cols` elements of `data`, with the distances between them.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// A matrix to write to, row after row.
#[derive(Debug)]
pub struct MatrixMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

/// How far a view of this shape reaches into its slice.
fn reach(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_stride + (cols - 1) * col_stride + 1 }
}

impl<'a, T> Matrix<'a, T> {
    /// `rows` rows of `cols` elements; a row begins `stride` elements after the one before.
    ///
    /// # Panics
    /// When `data` is too short: a mistake of the caller, never of an input.
    pub fn new(data: &'a [T], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(
            reach(rows, cols, stride, 1) <= data.len(),
            "a {rows}×{cols} matrix of stride {stride} in {} elements",
            data.len()
        );
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// Rows without gaps.
    pub fn dense(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::new(data, rows, cols, cols)
    }

    /// The transpose, of the same elements.
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// The rows `first..first + count`.
    ///
    /// # Panics
    /// When there are fewer: a mistake of the caller, never of an input.
    pub fn rows_from(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.rows, "rows {first}..{} of {}", first + count, self.rows);
        let start = (first * self.row_stride).min(self.data.len());
        Self { data: &self.data[start..], rows: count, ..self }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
}

impl<'a, T> MatrixMut<'a, T> {
    /// `rows` rows of `cols` elements; a row begins `stride` elements after the one before.
    ///
    /// # Panics
    /// When `data` is too short, or rows would overlap: a mistake of the caller, never of an input.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(
            reach(rows, cols, stride, 1) <= data.len(),
            "a {rows}×{cols} matrix of stride {stride} in {} elements",
            data.len()
        );
        assert!(rows <= 1 || stride >= cols, "rows of {cols} elements overlap at stride {stride}");
        Self { data, rows, cols, row_stride: stride }
    }

    /// Rows without gaps.
    pub fn dense(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        Self::new(data, rows, cols, cols)
    }
}

/// What becomes of the elements that the product is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// The product replaces them.
    Set,
    /// The product is added to them.
    Add,
}

/// `out = scale · a · b`, or `out += scale · a · b`. On the calling thread. A product over no terms is zero.
///
/// # Panics
/// When the shapes do not fit: a mistake of the caller, never of an input.
pub fn product<T: Real>(into: Update, out: MatrixMut<'_, T>, scale: T, a: Matrix<'_, T>, b: Matrix<'_, T>) {
    assert_eq!((a.rows, a.cols, b.cols), (out.rows, b.rows, out.cols), "shapes of a product");
    if out.rows == 0 || out.cols == 0 {
        return;
    }
    let stride = |stride: usize| isize::try_from(stride).unwrap_or(isize::MAX);
    // SAFETY: the constructors checked that each view lies inside its slice, `out` is borrowed for writing and so overlaps neither
    // `a` nor `b`, and its rows do not overlap each other. `gemm` does not read `out` when `read_dst` is false.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            out.rows,
            out.cols,
            a.cols,
            out.data.as_mut_ptr(),
            1,
            stride(out.row_stride),
            into == Update::Add,
            a.data.as_ptr(),
            stride(a.col_stride),
            stride(a.row_stride),
            b.data.as_ptr(),
            stride(b.col_stride),
            stride(b.row_stride),
            T::ONE,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
