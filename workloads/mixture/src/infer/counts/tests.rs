use super::*;
use crate::infer::{InferError, tokenizer::Bpe};
use proptest::prelude::*;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// A byte-level tokenizer of these letters whose merges are made of earlier ones, by number.
fn tokenizer(merges: &[(usize, usize)]) -> Bpe {
    let mut tokens: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let mut written = Vec::new();
    for (left, right) in merges {
        let (left, right) = (tokens[left % tokens.len()].clone(), tokens[right % tokens.len()].clone());
        let made = format!("{left}{right}");
        if !tokens.contains(&made) {
            tokens.push(made);
        }
        written.push([left, right]);
    }
    let vocab: BTreeMap<&String, usize> = tokens.iter().zip(0..).collect();
    let file = json!({"model": {"type": "BPE", "vocab": vocab, "merges": written},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}});
    Bpe::parse(file.to_string().as_bytes()).unwrap()
}

fn words(bpe: &Bpe, text: &str) -> Words {
    let mut words = Words::default();
    words.add(bpe, text).unwrap();
    words
}

/// The pairs that a text has before each merge and after the last, counted anew each time.
fn naive(words: &Words, bpe: &Bpe) -> Vec<BTreeMap<Pair, u64>> {
    let mut cut: Vec<(Vec<u32>, u64)> = Vec::new();
    for (word, &count) in &words.counts {
        let mut tokens = Vec::new();
        bpe.letters(word, &mut tokens);
        cut.push((tokens, count));
    }
    let count = |cut: &[(Vec<u32>, u64)]| {
        let mut pairs = BTreeMap::new();
        for (tokens, count) in cut {
            for pair in tokens.windows(2) {
                *pairs.entry(Pair(pair[0], pair[1])).or_default() += count;
            }
        }
        pairs
    };
    let mut all = vec![count(&cut)];
    for merge in &bpe.merges {
        for (tokens, _) in &mut cut {
            let mut at = 0;
            while at + 1 < tokens.len() {
                if (tokens[at], tokens[at + 1]) == (merge.left, merge.right) {
                    tokens.splice(at..at + 2, [merge.made]);
                }
                at += 1;
            }
        }
        all.push(count(&cut));
    }
    all
}

proptest! {
    #[test]
    fn pairs_are_those_counted_anew_after_every_merge(
        text in "([abc]{0,9} |a{0,9} |(ab){0,5} ){0,20}",
        merges in prop::collection::vec((0..9usize, 0..9usize), 1..12),
    ) {
        let bpe = tokenizer(&merges);
        let words = words(&bpe, &text);
        let history = History::new(&words, &bpe, usize::MAX, &|| false).unwrap();
        let expected = naive(&words, &bpe);
        let mut now: BTreeMap<Pair, u64> = history.pairs.iter().copied().zip(history.before.iter().copied()).collect();
        prop_assert_eq!(history.total, now.values().sum::<u64>());
        for (step, expected) in expected.iter().enumerate() {
            now.retain(|_, count| *count > 0);
            prop_assert_eq!(&now, expected, "before merge {}", step);
            let changed: BTreeSet<u32> = history.changes(step).iter().map(|change| change.0).collect();
            prop_assert_eq!(changed.len(), history.changes(step).len(), "each once");
            now.extend(history.changes(step).iter().map(|&(pair, count)| (history.pairs[pair as usize], count)));
        }
    }

    #[test]
    fn shards_of_any_size_hold_every_line_once(lines in prop::collection::vec("[abc ä]{0,12}", 0..30), bytes in 1..40u64, end: bool) {
        let folder = tempfile::tempdir().unwrap();
        let mut text = lines.join("\n");
        if end || text.is_empty() {
            text.push('\n');
        }
        fs::write(folder.path().join("text"), &text).unwrap();
        let bpe = tokenizer(&[(0, 1)]);
        let cut = shards("x", folder.path(), bytes).unwrap();
        let sum = cut.iter().map(|shard| shard.count(&bpe, &|| false).unwrap()).fold(Words::default(), Words::merge);
        prop_assert_eq!(sum, words(&bpe, &text));
    }
}

#[test]
fn a_category_is_a_file_a_folder_or_the_texts_of_a_jsonl() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("all/b/two.txt", b"ab ab\n");
    write("all/one.txt", b"abc");
    write("all/three.jsonl", b"{\"text\": \"ab\\n\", \"id\": 7}\n\n{\"text\": \"c\"}");
    std::os::unix::fs::symlink(folder.path(), folder.path().join("all/again")).unwrap();
    let bpe = tokenizer(&[(0, 1)]);
    let count = |path: &Path| {
        let cut = shards("x", path, SHARD_BYTES)?;
        cut.iter()
            .map(|shard| shard.count(&bpe, &|| false))
            .try_fold(Words::default(), |sum, words| Ok::<_, InferError>(sum.merge(words?)))
    };
    let all: BTreeMap<Box<str>, u64> = count(&folder.path().join("all")).unwrap().counts.into_iter().collect();
    assert_eq!(all, [("\n", 2), (" ab", 1), ("ab", 2), ("abc", 1), ("c", 1)].map(|(word, count)| (word.into(), count)).into());
    write("bad.txt", b"abc\nab\xff");
    write("bad.jsonl", b"{\"text\": \"a\"}\n{\"txt\": 1}\n");
    fs::create_dir(folder.path().join("empty")).unwrap();
    for (name, said) in [
        ("bad.txt", "bad.txt: byte 6 is not UTF-8"),
        ("bad.jsonl", "bad.jsonl: the line at byte 14: it has no field \"text\""),
        ("empty", "category `x` has no text: "),
        ("missing", "is not there"),
    ] {
        let error = count(&folder.path().join(name)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_packed_text_has_the_words_of_the_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    let bpe = tokenizer(&[(0, 1)]);
    // Lines across the end of a piece, and one longer than a piece.
    let long = "ab ".repeat(SHARD_BYTES as usize / 2);
    let text = format!("{}\n{long}\nabc ab\n", "abc cab\n".repeat(SHARD_BYTES as usize / 9));
    let jsonl: String = text.lines().map(|line| format!("{}\n", json!({"text": line, "id": 1}))).collect();
    let count = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let cut = shards("x", &path, SHARD_BYTES).unwrap();
        let words = cut.iter().map(|shard| shard.count(&bpe, &|| false));
        (words.collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().fold(Words::default(), Words::merge)), cut.len())
    };
    let gzip = |bytes: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        std::io::Write::write_all(&mut writer, bytes).unwrap();
        writer.finish().unwrap()
    };
    for (name, bytes) in [("a.txt", text.as_bytes()), ("a.jsonl", jsonl.as_bytes())] {
        let (plain, shards) = count(name, bytes);
        let plain = plain.unwrap();
        assert!(shards > 2, "{shards}");
        let (zstd, gzip) = (zstd::encode_all(bytes, 1).unwrap(), gzip(bytes));
        assert_eq!(count(&format!("{name}.zst"), &zstd).0.unwrap(), plain);
        assert_eq!(count(&format!("{name}.gz"), &gzip).0.unwrap(), plain);
        let cut = count(&format!("{name}.gz"), &gzip[..gzip.len() / 2]).0.unwrap_err();
        assert!(matches!(cut, InferError::Broken { .. }), "{cut}");
        if name == "a.jsonl" {
            assert_eq!(count("a.json.gz", &gzip).0.unwrap(), plain);
        }
    }
    let path = folder.path().join("a.txt.gz");
    let stopped = shards("x", &path, SHARD_BYTES).unwrap()[0].count(&bpe, &|| true);
    assert!(matches!(stopped, Err(InferError::Cancelled)));
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_has_the_words_of_the_same_jsonl_however_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let bpe = tokenizer(&[(0, 1)]);
    let texts: Vec<String> = (0..500).map(|row| "ab cab\n".repeat(row % 9) + &"c".repeat(row % 7)).collect();
    let jsonl: String = texts.iter().map(|text| format!("{}\n", json!({"text": text}))).collect();
    fs::write(folder.path().join("a.jsonl"), jsonl).unwrap();
    let rows: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
    let path = folder.path().join("a.parquet");
    let schema = "optional binary content (STRING);";
    crate::text::columns::tests::write(&path, schema, &rows, 60, parquet::basic::Compression::SNAPPY);
    let count = |name: &str, bytes: u64| {
        let cut = shards("x", &folder.path().join(name), bytes).unwrap();
        cut.iter().map(|shard| shard.count(&bpe, &|| false).unwrap()).fold(Words::default(), Words::merge)
    };
    let whole = count("a.jsonl", SHARD_BYTES);
    for bytes in [100, 1000, SHARD_BYTES] {
        assert_eq!(count("a.parquet", bytes), whole, "shards of {bytes} bytes");
    }
    fs::write(&path, b"no columns").unwrap();
    let error = shards("x", &path, SHARD_BYTES).unwrap()[0].count(&bpe, &|| false).unwrap_err();
    assert!(matches!(error, InferError::Broken { .. }), "{error}");
}

#[test]
fn counts_that_no_text_can_have_are_an_error() {
    let bpe = tokenizer(&[(0, 1)]);
    let words = Words { counts: [("abc".into(), u64::MAX / 2)].into_iter().collect(), bytes: 3 };
    let error = History::new(&words, &bpe, 1, &|| false).unwrap_err().to_string();
    assert!(error.contains("more than can be counted"), "{error}");
}
