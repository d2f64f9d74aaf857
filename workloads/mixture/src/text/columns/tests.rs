//! Files that the library writes, read in every way; and files that are damaged.

use super::*;
use parquet::{
    basic::{Compression, GzipLevel, ZstdLevel},
    data_type::Int64Type,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use std::{fs, sync::Arc};

/// A file whose columns of strings all hold `texts` (none: null), a row group after each `group` rows, and an `id`.
pub(crate) fn write(path: &Path, schema: &str, texts: &[Option<&str>], group: usize, compression: Compression) {
    let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} required int64 id; }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).set_data_page_row_count_limit(7).build());
    let mut writer = SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, properties).unwrap();
    for rows in texts.chunks(group) {
        let mut group = writer.next_row_group().unwrap();
        while let Some(mut column) = group.next_column().unwrap() {
            if let parquet::column::writer::ColumnWriter::Int64ColumnWriter(_) = column.untyped() {
                let ids: Vec<i64> = (0..rows.len() as i64).collect();
                column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
            } else {
                let values: Vec<ByteArray> = rows.iter().flatten().map(|text| ByteArray::from(*text)).collect();
                let levels: Vec<i16> = rows.iter().map(|text| i16::from(text.is_some())).collect();
                column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

const TEXT: &str = "optional binary text (STRING);";

fn read(path: &Path, field: Option<&str>, bytes: Range<u64>) -> Result<Vec<String>, String> {
    let mut texts = vec![];
    documents(path, field, &bytes, |text| {
        texts.push(text.to_owned());
        Ok(())
    })?;
    Ok(texts)
}

#[test]
fn every_row_comes_once_however_the_file_is_packed_and_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let texts: Vec<String> = (0..1000).map(|row| format!("row {row}: {}", "äb".repeat(row % 50))).collect();
    let rows: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
    ] {
        write(&path, TEXT, &rows, 130, compression);
        assert_eq!(read(&path, None, 0..u64::MAX).unwrap(), texts, "{compression:?}");
    }
    let length = fs::metadata(&path).unwrap().len();
    for step in [1000, 4096, length] {
        let ranges = (0..length.div_ceil(step)).map(|index| index * step..(index + 1) * step);
        let all: Vec<String> = ranges.flat_map(|range| read(&path, None, range).unwrap()).collect();
        assert_eq!(all, texts, "in ranges of {step} bytes");
    }
    let stopped =
        documents(&path, None, &(0..u64::MAX), |text| if text.starts_with("row 300:") { Err("no".into()) } else { Ok(()) });
    assert_eq!(stopped, Err("row 300: no".into()));
}

#[test]
fn a_column_is_named_or_the_only_one_of_strings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let of = |schema: &str, field: Option<&str>| {
        write(&path, schema, &[Some("a"), Some("b")], 9, Compression::SNAPPY);
        read(&path, field, 0..u64::MAX)
    };
    let both = "optional binary url (STRING); optional binary text (UTF8);";
    let there = Ok(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(of("optional binary content (STRING);", None), there);
    assert_eq!(of("optional binary content;", None), there, "old writers have no type for strings");
    assert_eq!(of(both, None), there);
    assert_eq!(of(both, Some("url")), there);
    assert_eq!(of("optional group m { required binary body (STRING); }", Some("m.body")), there);
    assert_eq!(of(both, Some("body")), Err("it has no column \"body\" of strings; there are url, text".into()));
    let unclear = "optional binary url (STRING); optional binary body (STRING);";
    assert_eq!(of(unclear, None), Err("it has no column \"text\", and several of strings: url, body; name one".into()));
    assert_eq!(of("", None), Err("it has no column of strings".into()));
}

#[test]
fn a_row_without_text_and_a_damaged_file_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let mut rows = vec![Some("text that is there"); 400];
    rows[333] = None;
    write(&path, TEXT, &rows, 150, Compression::SNAPPY);
    assert_eq!(read(&path, None, 0..u64::MAX), Err("row 333: it has no text".into()));
    rows[333] = Some("now");
    write(&path, TEXT, &rows, 150, Compression::ZSTD(ZstdLevel::default()));
    let whole = fs::read(&path).unwrap();
    for cut in [0, 3, 8, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(read(&path, None, 0..u64::MAX).is_err(), "{cut} bytes of {}", whole.len());
    }
    // Whatever one byte does: an answer, or an error, and never more.
    let mut errors = 0;
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        errors += usize::from(read(&path, None, 0..u64::MAX).is_err());
    }
    assert!(errors > whole.len() / 8, "{errors} of {}", whole.len());
    let text = read(&folder.path().join("none"), None, 0..1).unwrap_err();
    assert!(text.contains("No such file"), "{text}");
}
