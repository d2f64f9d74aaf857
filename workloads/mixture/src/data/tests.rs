//! Domains on disk, in every form that is read.

use super::*;
use std::{fs, io::Write, path::Path};

fn split() -> Split {
    Split { block: 40, validation: 0.1, test: 0.1 }
}

fn source(path: &Path) -> DomainSource {
    serde_json::from_value(serde_json::json!(path)).unwrap()
}

fn text(length: usize, by: usize) -> String {
    (0..length).map(|index| char::from(b'a' + ((index * by + index / 7) % 26) as u8)).collect()
}

fn opened(folder: &Path, names: &[&str]) -> Result<Data, MixtureError> {
    let sources: Vec<_> = names.iter().map(|name| source(&folder.join(name))).collect();
    Data::open(&Domains::new(names.iter().copied()).unwrap(), &sources, &split(), 12)
}

#[test]
fn a_draw_depends_on_seed_domain_and_number_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, by) in [("a", 3), ("b", 5), ("c", 11)] {
        fs::write(folder.path().join(name), text(2000, by)).unwrap();
    }
    let (two, three) = (opened(folder.path(), &["a", "b"]).unwrap(), opened(folder.path(), &["c", "b", "a"]).unwrap());
    for draw in 0..400 {
        let expected = two.draw(5, 0, draw).unwrap();
        assert_eq!(expected.len(), 13);
        assert_eq!(expected, three.draw(5, 2, draw).unwrap(), "other domains change nothing");
    }
    assert_ne!(two.draw(5, 0, 0).unwrap(), two.draw(6, 0, 0).unwrap());
    assert!(two.draw(5, 2, 0).is_err());
}

#[test]
fn an_epoch_holds_each_training_sequence_once_and_none_that_is_held_out() {
    let folder = tempfile::tempdir().unwrap();
    // Every token its own number.
    let tokens: Vec<u8> = (0..1000u16).flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path().join("a.bin"), tokens).unwrap();
    let data = opened(folder.path(), &["a.bin"]).unwrap();
    let [amount] = data.amounts().try_into().unwrap();
    let sequences = amount.training / 12;
    let epoch = |epoch: u64| {
        let mut seen: Vec<u32> = (0..sequences).map(|n| data.draw(1, 0, epoch * sequences + n).unwrap()[0]).collect();
        let order = seen.clone();
        seen.sort_unstable();
        seen.dedup();
        (seen, order)
    };
    let (first, order) = epoch(0);
    assert_eq!(first.len() as u64, sequences);
    let (second, other) = epoch(1);
    assert_eq!(first, second);
    assert_ne!(order, other);
    for part in [Part::Validation, Part::Test] {
        for index in 0..data.held_out(part, 0, 100).unwrap() {
            let held = data.held_out_sequence(part, 0, index).unwrap();
            assert!(first.iter().all(|start| !(*start..start + 13).any(|token| held.contains(&token))));
        }
    }
}

#[test]
fn every_form_of_a_file_gives_the_same_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let words: Vec<String> = (0..60).map(|index| text(30, index + 1)).collect();
    let jsonl: String = words.iter().map(|word| format!("{{\"id\": 1, \"text\": \"{word}\"}}\n")).collect();
    fs::write(path("plain.jsonl"), &jsonl).unwrap();
    let mut packed =
        flate2::write::GzEncoder::new(fs::File::create(path("packed.jsonl.gz")).unwrap(), flate2::Compression::fast());
    packed.write_all(jsonl.as_bytes()).unwrap();
    packed.finish().unwrap();
    // As corpora on hubs are often called.
    fs::copy(path("packed.jsonl.gz"), path("packed.json.gz")).unwrap();
    fs::copy(path("plain.jsonl"), path("plain.json")).unwrap();
    fs::write(path("packed.jsonl.zst"), zstd::encode_all(jsonl.as_bytes(), 1).unwrap()).unwrap();
    #[cfg(feature = "parquet")]
    {
        let rows: Vec<Option<&str>> = words.iter().map(|word| Some(word.as_str())).collect();
        let schema = "optional binary text (STRING);";
        crate::text::columns::tests::write(&path("columns.parquet"), schema, &rows, 25, parquet::basic::Compression::SNAPPY);
    }
    fs::create_dir(path("folder")).unwrap();
    fs::create_dir(path("packed")).unwrap();
    for (index, word) in words.iter().enumerate() {
        fs::write(path("folder").join(format!("{index:03}.txt")), word).unwrap();
        let zst = zstd::encode_all(word.as_bytes(), 1).unwrap();
        fs::write(path("packed").join(format!("{index:03}.txt.zst")), zst).unwrap();
    }
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.bytes().chain([0])).collect();
    let wide = |width: usize| -> Vec<u8> {
        bytes.iter().flat_map(|&byte| u64::from(byte).to_le_bytes().into_iter().take(width).collect::<Vec<_>>()).collect()
    };
    fs::write(path("short.bin"), wide(2)).unwrap();
    fs::write(path("megatron.bin"), wide(4)).unwrap();
    let index = [b"MMIDIDX\0\0".as_slice(), &1u64.to_le_bytes(), &[4], &[0; 16]].concat();
    fs::write(path("megatron.idx"), index).unwrap();
    let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (1860,), }\n";
    let numpy = [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), &wide(8)].concat();
    fs::write(path("numbers.npy"), numpy).unwrap();

    let read = |name: &str| {
        let tokens = files::Tokens::open(&source(&path(name))).unwrap();
        let mut all = vec![0; tokens.len() as usize];
        tokens.read(0, &mut all).unwrap();
        all
    };
    let expected: Vec<u32> = bytes.iter().map(|&byte| u32::from(byte)).collect();
    let mut names =
        vec!["plain.jsonl", "packed.jsonl.gz", "packed.jsonl.zst", "plain.json", "packed.json.gz", "folder", "packed"];
    if cfg!(feature = "parquet") {
        names.push("columns.parquet");
    }
    let text = names.len();
    names.extend(["short.bin", "megatron.bin", "numbers.npy"]);
    for name in &names {
        assert_eq!(read(name), expected, "{name}");
    }

    // And so the same sequences, whatever the form.
    let domains = Domains::new(["words"]).unwrap();
    let data = |name: &str| Data::open(&domains, &[source(&path(name))], &split(), 12).unwrap();
    let first = data(names[0]);
    for name in &names {
        let other = data(name);
        for (seed, draw) in (0..3).flat_map(|seed| (0..200).map(move |draw| (seed, draw))) {
            assert_eq!(other.draw(seed, 0, draw).unwrap(), first.draw(seed, 0, draw).unwrap(), "{name}");
        }
        for part in [Part::Validation, Part::Test] {
            assert_eq!(other.held_out_sequence(part, 0, 1).unwrap(), first.held_out_sequence(part, 0, 1).unwrap(), "{name}");
        }
    }
    for name in &names[..text] {
        assert_eq!(data(name).digest().unwrap(), first.digest().unwrap(), "{name}: a job goes on where text was packed");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_domain() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let refused = |name: &str, bytes: &[u8]| {
        fs::write(path(name), bytes).unwrap();
        let text = opened(folder.path(), &[name]).unwrap_err().to_string();
        text.replace(&folder.path().display().to_string(), "F")
    };
    let cases: [(&str, &[u8], &str); 13] = [
        ("empty.txt", b"", "domain empty.txt: there is no data in F/empty.txt"),
        ("small.txt", b"abc", "fewer than three blocks of 40"),
        ("a.jsonl", b"{\"text\": \"a\"}\n{\"text\": 1}", "cannot read F/a.jsonl: line 2: its field \"text\" is no text"),
        ("b.jsonl", b"{\"txt\": \"a\"}", "line 1: it has no field \"text\""),
        ("b.json", b"{\"content\": \"a\"}", "line 1: it has no field \"text\""),
        ("c.jsonl", b"{\"text\": \"a\"", "line 1: EOF while parsing an object at column"),
        ("d.jsonl.gz", b"no gzip, as anyone can see", "cannot read F/d.jsonl.gz: line 1: invalid gzip header"),
        ("e.bin", b"abc", "its 3 bytes are no whole number of tokens of 2 bytes"),
        ("f.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'}", "its numbers are \"<f4\", not little-endian integers"),
        ("h.jsonl.zst", b"no frame", "cannot read F/h.jsonl.zst: line 1: Unknown frame descriptor"),
        ("i.parquet", b"no file of columns, as anyone can see", "cannot read F/i.parquet: Invalid Parquet file"),
        ("j.parquet.gz", b"", "cannot read F/j.parquet.gz: a parquet file is read from its end"),
        ("g.npy", b"\x93NUMPY\x01\x00\xff\xff", "its header: failed to fill whole buffer"),
    ];
    for (name, bytes, said) in cases {
        let text = refused(name, bytes);
        assert!(text.starts_with(&format!("domain {name}: ")) && text.contains(said), "{text}");
    }
    assert!(opened(folder.path(), &["nowhere"]).unwrap_err().to_string().contains("No such file"));
    fs::write(path("short"), text(500, 3)).unwrap();
    let capped = |cap| DomainSource { cap: Some(cap), ..source(&path("short")) };
    let domains = Domains::new(["short"]).unwrap();
    let error = Data::open(&domains, &[capped(900)], &split(), 12).unwrap_err().to_string();
    assert_eq!(error, "domain short: it has 501 tokens, fewer than its cap of 900");
    let data = Data::open(&domains, &[capped(400)], &split(), 12).unwrap();
    assert_eq!(data.sizes(), [8 * 36], "ten blocks, one each held out");
}
