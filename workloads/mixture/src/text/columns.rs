//! Documents in a column of a parquet file, read row group by row group, a batch of rows at a time.

use parquet::{
    basic::{ConvertedType, LogicalType, Type},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, ByteArrayType},
    errors::ParquetError,
    file::{
        reader::{FileReader as _, SerializedFileReader},
        serialized_reader::ReadOptionsBuilder,
    },
    schema::types::ColumnDescriptor,
};
use std::{
    fs::File,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// What is said of a parquet file that is compressed as a whole.
pub(crate) const PACKED: &str = "a parquet file is read from its end, and compresses its own columns: unpack it";
/// Rows that are held at a time.
const BATCH: usize = 256;

/// Hands over each text of the row groups whose columns begin in a range of the file's bytes.
///
/// The column is the one called `field`; where no name was asked for, `text`, or else the only one that holds strings.
///
/// # Errors
/// In words: no such column, a row without text, whatever is wrong with the file, and what `take` says, with the row.
pub(crate) fn documents(
    path: &Path,
    field: Option<&str>,
    bytes: &Range<u64>,
    mut take: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    // The crate asserts of some numbers of a file what it should check.
    let read = AssertUnwindSafe(|| read(path, field, bytes, &mut take));
    catch_unwind(read).unwrap_or_else(|_| Err("it is damaged: its reader broke off".into()))
}

fn read(
    path: &Path,
    field: Option<&str>,
    bytes: &Range<u64>,
    take: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let reader = SerializedFileReader::new_with_options(file, ReadOptionsBuilder::new().build()).map_err(words)?;
    let metadata = reader.metadata();
    let column = choose(metadata.file_metadata().schema_descr().columns(), field)?;
    let mut row = 0u64;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let rows = u64::try_from(group.num_rows()).map_err(|_| format!("row group {index} has {} rows", group.num_rows()))?;
        let chunk = group.column(column);
        let first = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
        let here = u64::try_from(first).map_err(|_| format!("row group {index} begins at byte {first}"))?;
        if bytes.contains(&here) {
            if chunk.compressed_size() < 0 {
                return Err(format!("row group {index} has a column of {} bytes", chunk.compressed_size()));
            }
            let reader = reader.get_row_group(index).and_then(|group| group.get_column_reader(column)).map_err(words)?;
            let ColumnReader::ByteArrayColumnReader(reader) = reader else {
                return Err(format!("column {} holds no strings", chunk.column_path()));
            };
            let found = texts(reader, chunk.column_descr().max_def_level(), row, take)?;
            if found != rows {
                return Err(format!("row group {index} has {found} rows, not the {rows} that it should have"));
            }
        }
        row = row.saturating_add(rows);
    }
    Ok(())
}

/// The texts of one row group, whose first row is number `first`; how many there are.
fn texts(
    mut reader: ColumnReaderImpl<ByteArrayType>,
    present: i16,
    first: u64,
    take: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<u64, String> {
    let (mut levels, mut values, mut done) = (Vec::new(), Vec::<ByteArray>::new(), 0);
    loop {
        levels.clear();
        values.clear();
        let (rows, there, _) = reader.read_records(BATCH, Some(&mut levels), None, &mut values).map_err(words)?;
        if there < rows {
            let missing = levels.iter().position(|level| *level < present).unwrap_or_default();
            return Err(format!("row {}: it has no text", first + done + missing as u64));
        }
        for (value, row) in values.iter().zip(first + done..) {
            let text = value.as_utf8().map_err(|_| format!("row {row}: its text is no UTF-8"))?;
            take(text).map_err(|problem| format!("row {row}: {problem}"))?;
        }
        if rows == 0 {
            return Ok(done);
        }
        done += rows as u64;
    }
}

/// Where the column of the text is.
fn choose(columns: &[std::sync::Arc<ColumnDescriptor>], field: Option<&str>) -> Result<usize, String> {
    let name = |index: usize| columns.get(index).map(|column| column.path().string()).unwrap_or_default();
    let strings: Vec<usize> = (0..columns.len()).filter(|index| columns.get(*index).is_some_and(|it| is_text(it))).collect();
    let called = |wanted: &str| strings.iter().copied().find(|index| name(*index) == wanted);
    if let Some(index) = called(field.unwrap_or(super::FIELD)) {
        return Ok(index);
    }
    let named: Vec<String> = strings.iter().map(|index| name(*index)).collect();
    match (field, strings.as_slice()) {
        (None, [only]) => Ok(*only),
        (_, []) => Err("it has no column of strings".into()),
        (Some(field), _) => Err(format!("it has no column {field:?} of strings; there are {}", named.join(", "))),
        (None, _) => Err(format!("it has no column {:?}, and several of strings: {}; name one", super::FIELD, named.join(", "))),
    }
}

/// A string a row. Writers that know no strings leave the type out.
fn is_text(column: &ColumnDescriptor) -> bool {
    let strings = match (column.logical_type_ref(), column.converted_type()) {
        (Some(kind), _) => matches!(kind, LogicalType::String | LogicalType::Json | LogicalType::Enum),
        (None, kind) => matches!(kind, ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM | ConvertedType::NONE),
    };
    column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0 && strings
}

/// The crate's word, without its own name before it.
fn words(error: ParquetError) -> String {
    match error {
        ParquetError::General(text) | ParquetError::EOF(text) | ParquetError::NYI(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
