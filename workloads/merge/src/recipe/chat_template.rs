//! Chat templates: the text of those that recipes name, and what to do for `auto`.
//!
//! The formats are those of the models they are named after; the templates are written for the Jinja of transformers,
//! which trims a line break after a block.

use super::{
    error::{Problem, RecipeError},
    fields::{Source, did_you_mean},
    node::Node,
};

/// The chat template that the output's tokenizer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatTemplate {
    /// The one that most of the input models have: see [`most_common`].
    Auto,
    /// This Jinja text.
    Text(String),
}

const ALPACA: &str = "\
{% for message in messages %}
{% if message['role'] == 'system' %}
{{ message['content'] | trim + '\\n\\n' }}
{%- elif message['role'] == 'user' %}
{{ '### Instruction:\\n' + message['content'] | trim + '\\n\\n' }}
{%- elif message['role'] == 'user_context' %}
{{ '### Input:\\n' + message['content'] | trim + '\\n\\n' }}
{%- elif message['role'] == 'assistant' %}
{{ '### Response:\\n' + message['content'] | trim + '\\n\\n' }}
{%- endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '### Response:\\n' }}
{%- endif %}
";

const CHATML: &str = "\
{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}
";

const LLAMA3: &str = "\
{{ bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
{{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
";

const MISTRAL: &str = "\
{{- bos_token }}
{%- set chat = namespace(system='') %}
{%- for message in messages %}
{%- if message['role'] == 'system' and loop.first %}
{%- set chat.system = message['content'] + '\\n\\n' %}
{%- elif message['role'] == 'user' %}
{{- ' [INST] ' + chat.system + message['content'] + ' [/INST]' }}
{%- set chat.system = '' %}
{%- elif message['role'] == 'assistant' %}
{{- ' ' + message['content'] + eos_token }}
{%- else %}
{{- raise_exception('this model knows one system message at the start, then user and assistant, not ' + message['role']) }}
{%- endif %}
{%- endfor %}
";

const EXAONE: &str = "\
{% for message in messages %}
{% if loop.first and message['role'] != 'system' %}
{{ '[|system|][|endofturn|]\\n' }}
{%- endif %}
{{ '[|' + message['role'] + '|]' + message['content'] }}
{%- if message['role'] == 'user' %}
{{ '\\n' }}
{%- else %}
{{ '[|endofturn|]\\n' }}
{%- endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '[|assistant|]' }}
{%- endif %}
";

const NAMED: [(&str, &str); 5] =
    [("alpaca", ALPACA), ("chatml", CHATML), ("llama3", LLAMA3), ("mistral", MISTRAL), ("exaone", EXAONE)];

impl ChatTemplate {
    pub(super) fn parse(source: &Source, node: Node) -> Result<Self, RecipeError> {
        let text = source.text(node, "`chat_template`")?;
        let name = text.value.trim();
        if name == "auto" {
            return Ok(Self::Auto);
        }
        if let Some((_, template)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Ok(Self::Text((*template).to_owned()));
        }
        // every template writes at least one value, and no name has a brace
        if name.contains('{') {
            return Ok(Self::Text(text.value));
        }
        let known: Vec<&str> = std::iter::once("auto").chain(NAMED.iter().map(|(known, _)| *known)).collect();
        let help = did_you_mean(name, &known);
        let problem = Problem::Value(format!("chat_template {name:?} is neither a known name nor a Jinja template"));
        Err(source.error(text.at, problem).hint_is(help))
    }
}

/// What `auto` stands for: the template that most models have; among equals, that of the model named first.
pub fn most_common<'a>(templates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for template in templates {
        match counts.iter_mut().find(|(known, _)| *known == template) {
            Some((_, count)) => *count += 1,
            None => counts.push((template, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(template, _)| template)
}

#[cfg(test)]
mod tests {
    use super::most_common;

    #[test]
    fn auto_takes_the_majority_and_the_first_among_equals() {
        assert_eq!(most_common(["a", "b", "b", "a", "c"]), Some("a"));
        assert_eq!(most_common(["a", "b", "b"]), Some("b"));
        assert_eq!(most_common([]), None);
    }
}
