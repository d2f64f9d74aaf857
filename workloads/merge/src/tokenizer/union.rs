//! What a tokenizer gets beside its own tokens: those of other models, and those that a recipe asks for.
//!
//! As in mergekit 0.1.5, its model stays as it is and every token beside it becomes an added token: first the plain tokens of the
//! other models, then the added tokens of all models, then those of the recipe. mergekit adds plain tokens in the order of a
//! hash map; here it is that of their numbers, so that the same models always give the same numbers.

use super::file::{AddedToken, TokenizerFile};
use std::collections::{HashMap, HashSet};

/// The tokens that a tokenizer gets, by their numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Additions {
    /// Plain tokens of the tokenizer that become added tokens, with the numbers that they have.
    pub(crate) promoted: Vec<AddedToken>,
    /// New tokens, numbered on from its last.
    pub(crate) new: Vec<AddedToken>,
}

impl Additions {
    pub(crate) fn is_empty(&self) -> bool {
        self.promoted.is_empty() && self.new.is_empty()
    }
}

/// What `to`, which has `count` tokens, gets from `others`, in their order, and from the recipe.
pub(crate) fn additions<'a>(
    to: &TokenizerFile,
    count: u32,
    others: &[&TokenizerFile],
    wanted: impl IntoIterator<Item = &'a str>,
) -> Additions {
    let mut found = Additions::default();
    let mut next = count;
    let mut new: HashSet<String> = HashSet::new();
    let mut add = |found: &mut Additions, token: AddedToken| {
        // an empty token occurs in no text
        if !token.content.is_empty() && to.id(&token.content).is_none() && new.insert(token.content.clone()) {
            found.new.push(AddedToken { id: next, ..token });
            next = next.saturating_add(1);
        }
    };
    // the first model that has one says how it is looked for
    let mut added: HashMap<&str, &AddedToken> = to.added().map(|token| (token.content.as_str(), token)).collect();
    let mut of_others: Vec<&AddedToken> = Vec::new();
    for token in others.iter().flat_map(|other| other.added()) {
        if !added.contains_key(token.content.as_str()) {
            added.insert(&token.content, token);
            of_others.push(token);
        }
    }
    for (_, token) in others.iter().flat_map(|other| other.tokens()).filter(|(_, token)| !added.contains_key(token)) {
        add(&mut found, plain(token));
    }
    for token in of_others {
        match to.id(&token.content) {
            Some(id) => found.promoted.push(AddedToken { id, ..token.clone() }),
            None => add(&mut found, token.clone()),
        }
    }
    wanted.into_iter().for_each(|token| add(&mut found, plain(token)));
    found.promoted.sort_by_key(|token| token.id);
    found
}

/// A token as the tokenizers library adds one of which nothing but the text is known.
fn plain(token: &str) -> AddedToken {
    AddedToken {
        id: 0,
        content: token.to_owned(),
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: true,
        special: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::tokenizer;
    use super::*;

    fn found(to: &TokenizerFile, others: &[&TokenizerFile], wanted: &[&str]) -> Vec<(u32, String, bool, bool)> {
        let Additions { promoted, new } = additions(to, to.count().unwrap(), others, wanted.iter().copied());
        let short = |token: AddedToken| (token.id, token.content, token.normalized, token.special);
        promoted.into_iter().chain(new).map(short).collect()
    }

    #[test]
    fn plain_tokens_come_before_added_ones_and_those_of_the_recipe_last() {
        let base = tokenizer(&["a", "b", "c"], &[(3, "<s>")]);
        let other = tokenizer(&["x", "a", "y"], &[(3, "<s>"), (4, "<pad>")]);
        let third = tokenizer(&["y", "z", "<pad>"], &[(3, "<end>")]);
        let owned = |id, text: &str, normalized, special| (id, text.to_owned(), normalized, special);
        assert_eq!(
            found(&base, &[&other, &third], &["q", "a", "z"]),
            [
                owned(4, "x", true, false),
                owned(5, "y", true, false),
                owned(6, "z", true, false),
                owned(7, "<pad>", false, true),
                owned(8, "<end>", false, true),
                owned(9, "q", true, false),
            ]
        );
        assert_eq!(found(&base, &[&base], &[]), []);
        assert!(additions(&base, 4, &[&base], ["b", "<s>"]).is_empty());
    }

    #[test]
    fn what_another_model_adds_and_the_base_has_plain_keeps_its_number() {
        let base = tokenizer(&["a", "<x>", "c"], &[]);
        let other = tokenizer(&["a"], &[(1, "<x>")]);
        assert_eq!(found(&base, &[&other], &[]), [(1, "<x>".to_owned(), false, true)]);
    }

    #[test]
    fn empty_tokens_are_left_out_and_the_first_settings_count() {
        let base = tokenizer(&["a"], &[]);
        let mut other = tokenizer(&["", "a"], &[(2, "<x>")]);
        assert_eq!(found(&base, &[&other], &[]), [(1, "<x>".to_owned(), false, true)]);
        other = tokenizer(&["<x>", "a"], &[]);
        let last = tokenizer(&["a"], &[(1, "<x>")]);
        assert_eq!(found(&base, &[&other, &last], &[]), [(1, "<x>".to_owned(), false, true)]);
    }
}
