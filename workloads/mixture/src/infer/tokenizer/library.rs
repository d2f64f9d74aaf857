//! Words by the normalizer and pre-tokenizer of a `tokenizer.json`, with the library that defines that file.

use tokenizers::{
    NormalizedString, Normalizer as _, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
    PreTokenizerWrapper, Tokenizer,
};

/// What stands before the model.
pub(super) struct Library {
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
}

impl Library {
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let tokenizer = Tokenizer::from_bytes(json).map_err(|error| format!("it is no tokenizer: {error}"))?;
        let (normalizer, pre_tokenizer) = (tokenizer.get_normalizer().cloned(), tokenizer.get_pre_tokenizer().cloned());
        Ok(Self { normalizer, pre_tokenizer })
    }

    pub(super) fn split(&self, text: &str, word: &mut impl FnMut(&str)) -> Result<(), String> {
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = &self.normalizer {
            normalizer.normalize(&mut normalized).map_err(|error| error.to_string())?;
        }
        let mut pieces = PreTokenizedString::from(normalized);
        if let Some(pre_tokenizer) = &self.pre_tokenizer {
            pre_tokenizer.pre_tokenize(&mut pieces).map_err(|error| error.to_string())?;
        }
        for (piece, _, _) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            word(piece);
        }
        Ok(())
    }
}
