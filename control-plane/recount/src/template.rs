//! Chat templates: messages in, the text of the prompt out, as Python's Jinja would make it for `transformers`.
//!
//! A template is the operator's and the messages are a stranger's: they are values, and nothing of them is ever read as
//! a template. Templates see no file and no clock but the time that they are given, and end by their fuel.

use crate::limits::TEMPLATE_FUEL;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};
use serde::Serialize;
use std::collections::BTreeMap;

mod date;

const NAME: &str = "chat";

/// A message that every runtime renders in the same way: a role and a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PlainMessage {
    /// `system`, `user` or `assistant`.
    pub(crate) role: String,
    pub(crate) content: String,
}

/// A template that parsed.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    /// `bos_token` and the like, which templates write themselves.
    tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// Takes a template, and tries it with a message.
    pub(crate) fn new(source: String, tokens: BTreeMap<String, String>) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // `transformers` sets these two.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(TEMPLATE_FUEL));
        environment.set_unknown_method_callback(method);
        environment.add_filter("trim", trim);
        environment.add_function("raise_exception", raise_exception);
        environment.add_template_owned(NAME, source)?;
        let template = Self {
            environment,
            tokens,
        };
        let trial = PlainMessage {
            role: "user".to_owned(),
            content: "Hello".to_owned(),
        };
        template.render(&[trial], 0)?;
        Ok(template)
    }

    /// The prompt of a conversation that the model is to go on with, at `now_s` in unix seconds.
    pub(crate) fn render(&self, messages: &[PlainMessage], now_s: i64) -> Result<String, Error> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| Serde(message).into())
            .collect();
        let strftime = move |format: &str| date::format(format, now_s);
        let tokens = self.tokens.iter();
        let mut context: BTreeMap<&str, Value> = tokens
            .map(|(name, token)| (name.as_str(), Value::from(token.as_str())))
            .collect();
        context.insert("messages", messages.into());
        context.insert("add_generation_prompt", true.into());
        // What `transformers` passes where a request has none.
        context.insert("tools", Value::from(()));
        context.insert("documents", Value::from(()));
        context.insert("strftime_now", Value::from_function(strftime));
        self.environment.get_template(NAME)?.render(context)
    }
}

fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// Python's methods of texts, lists and maps.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let (Some(text), true) = (value.as_str(), args.is_empty()) {
        match name {
            "strip" => return Ok(text.trim_matches(is_python_space).into()),
            "lstrip" => return Ok(text.trim_start_matches(is_python_space).into()),
            "rstrip" => return Ok(text.trim_end_matches(is_python_space).into()),
            _ => {}
        }
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

/// The filter `trim` with Python's idea of a space.
fn trim(value: &Value, chars: Option<&str>) -> Value {
    if value.kind() == ValueKind::Undefined {
        return "".into();
    }
    let text = value.to_string();
    let trimmed = match chars {
        Some(chars) => text.trim_matches(|c| chars.contains(c)),
        None => text.trim_matches(is_python_space),
    };
    trimmed.into()
}

/// What `str.strip()` takes away: Unicode's white space, and four separators of ASCII that are none there.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(path: &str) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
        std::fs::read_to_string(format!("{folder}/{path}")).unwrap()
    }

    fn family(name: &str) -> ChatTemplate {
        let config: serde_json::Value =
            serde_json::from_str(&data(&format!("{name}/tokenizer_config.json"))).unwrap();
        let tokens = config.as_object().unwrap().iter();
        let tokens = tokens.filter_map(|(name, token)| {
            let token = token.as_str().filter(|_| name.ends_with("_token"))?;
            Some((name.clone(), token.to_owned()))
        });
        ChatTemplate::new(
            data(&format!("{name}/chat_template.jinja")),
            tokens.collect(),
        )
        .unwrap()
    }

    fn conversation(turns: &[(&str, &str)]) -> Vec<PlainMessage> {
        let message = |(role, content): &(&str, &str)| PlainMessage {
            role: (*role).to_owned(),
            content: (*content).to_owned(),
        };
        turns.iter().map(message).collect()
    }

    fn custom(source: &str) -> Result<ChatTemplate, Error> {
        ChatTemplate::new(source.to_owned(), BTreeMap::new())
    }

    const TURNS: [(&str, &str); 4] = [
        ("system", "Be brief."),
        ("user", " Hi "),
        ("assistant", "<think>so</think>\n\nHello"),
        ("user", "Bye\n"),
    ];

    /// What the four families make of the same conversation, written out by hand.
    #[test]
    fn families_render_as_their_models_were_trained() {
        let render = |name: &str| {
            family(name)
                .render(&conversation(&TURNS), 1_796_129_999)
                .unwrap()
        };
        assert_eq!(
            render("chatml"),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye\n<|im_end|>\n<|im_start|>assistant\n"
        );
        assert_eq!(
            render("llama3"),
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 01 Dec 2026\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<think>so</think>\n\nHello<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        );
        assert_eq!(
            render("mistral"),
            "<s>[INST]  Hi [/INST] <think>so</think>\n\nHello</s>[INST] Be brief.\n\nBye\n[/INST]"
        );
        assert_eq!(
            render("gemma"),
            "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n<think>so</think>\n\nHello<end_of_turn>\n<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"
        );
    }

    /// Conversations that Python's Jinja rendered (`tests/data/make.py`).
    #[test]
    fn conversations_render_as_in_python() {
        let families = ["chatml", "llama3", "mistral", "gemma"].map(|name| (name, family(name)));
        let mut refused = 0;
        for line in data("cases.jsonl").lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let name = case["tokenizer"].as_str().unwrap();
            let (_, template) = families.iter().find(|(family, _)| *family == name).unwrap();
            let turns = case["messages"].as_array().unwrap().iter();
            let turns: Vec<_> = turns
                .map(|m| (m["role"].as_str().unwrap(), m["content"].as_str().unwrap()))
                .collect();
            let rendered = template.render(&conversation(&turns), case["now_s"].as_i64().unwrap());
            assert_eq!(rendered.ok().as_deref(), case["prompt"].as_str(), "{line}");
            refused += usize::from(case["prompt"].is_null());
        }
        assert!(refused > 0, "no case in which a template refuses");
    }

    #[test]
    fn messages_are_data() {
        let hostile = "{{ 7 * 7 }}{% for a in messages %}x{% endfor %}{# gone #}{% raw %}{{ bos_token }}\u{0}";
        let turns = conversation(&[("user", hostile)]);
        let rendered = family("chatml").render(&turns, 0).unwrap();
        assert!(rendered.contains(hostile));
        // Not even where a template looks for something that a message could have made up.
        let template =
            custom("{{ messages[0].content.format(messages) }}{{ messages[0].role.__class__ }}")
                .unwrap();
        let leak = conversation(&[("{0}", "{0.__class__}")]);
        assert!(template.render(&leak, 0).is_err());
    }

    #[test]
    fn pythons_rules_hold() {
        let render = |source: &str| {
            custom(source)
                .unwrap()
                .render(&conversation(&[("user", " a ")]), 0)
                .unwrap()
        };
        assert_eq!(
            render("{{ true }} {{ none }} {{ [1, 'a', none] }} {{ 2.0 }} {{ {'a': false} }}"),
            "True None [1, 'a', None] 2.0 {'a': False}"
        );
        assert_eq!(render("{{ 'a' ~ true ~ 1 }}"), "aTrue1");
        assert_eq!(
            render(
                "{{ '\\x1c a \\x1f'|trim }}{{ ' b\\x1d'.strip() }}{{ '\\x1ec '.lstrip() }}{{ 'd \\x1f'.rstrip() }}"
            ),
            "abc d"
        );
        assert_eq!(
            render("{{ messages[0].get('name', 'x') }}{{ messages[0].items()|list|length }}"),
            "x2"
        );
        assert_eq!(
            render("{% if true %}\n  {% set x = 1 %}\n{{ x }}\n{% endif %}\n"),
            "1\n"
        );
        assert_eq!(render("{{ '<&>' }}"), "<&>");
        assert_eq!(
            render("{{ missing }}{% for x in missing %}y{% endfor %}"),
            ""
        );
        assert_eq!(
            render(
                "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"
            ),
            "01"
        );
    }

    #[test]
    fn templates_that_do_not_end_are_ended() {
        let long = conversation(&[("user", &"x".repeat(1 << 20))]);
        for source in [
            "{% if messages[0].content|length > 9 %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}",
            "{% if messages[0].content|length > 9 %}{% set ns = namespace(s=messages[0].content) %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}{% endif %}",
            "{% if messages[0].content|length > 9 %}{{ messages[0].content * 99999 }}{% endif %}",
            "{% if messages[0].content|length > 9 %}{{ messages[0].content.replace('x', messages[0].content) }}{% endif %}",
            "{% if messages[0].content|length > 9 %}{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}{% endif %}",
        ] {
            let template = custom(source).unwrap();
            assert!(template.render(&long, 0).is_err(), "{source}");
        }
        // A long message by itself is no fault.
        family("llama3").render(&long, 0).unwrap();
    }

    #[test]
    fn what_cannot_be_rendered_is_found_when_it_is_read() {
        for source in [
            "{% if %}",
            "{{ raise_exception('no') }}",
            "{{ x|no_such_filter }}",
            "{{ x.y.z }}",
            "{% include 'other' %}",
        ] {
            assert!(custom(source).is_err(), "{source}");
        }
    }
}
