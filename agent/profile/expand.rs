//! Puts variables and facts into a profile's strings: one profile serves many hosts when the
//! node's address or a socket's path is a name, and a misspelled name must not become "".

use handlebars::{
    Context, Handlebars, RenderContext, RenderError, RenderErrorReason, Renderable, StringOutput,
    Template,
};
use serde_json::{Value as Json, json};

use super::diagnostic::{ProfileError, suggestion};
use super::mention;
use super::tree::{Node, Span, Table, Value};

/// Asks the host for its facts, a JSON object; called only when a string mentions `facts.`.
pub type Facts<'a> = dyn Fn() -> Result<Json, String> + 'a;

/// What begins an expression. Strings without it are left alone.
const OPEN: &str = "{{";

/// Bytes a string with expressions may have, before and after. Variables can double each other,
/// so that forty lines would fill the memory.
const MAX_EXPANDED: usize = 64 * 1024;

/// Variables that refer to variables that refer to variables...
const MAX_CHAIN: usize = 32;

/// Expands the variables, then every string of `sections`. Names that may be used are
/// `vars.NAME` and what `facts` gives, as `facts.NAME`.
///
/// # Errors
/// A variable that is not a plain value; an undefined name; variables that need each other; a
/// string that is no template; facts that could not be had.
pub fn expand(
    vars: &mut Table,
    sections: &mut Table,
    facts: &Facts<'_>,
) -> Result<(), ProfileError> {
    let mut expander = Expander::new(vars, facts);
    for (key, node) in vars.iter() {
        expander.variable(&key.name, node, vars, &mut Vec::new())?;
    }
    for (key, node) in vars.iter_mut() {
        if let (Value::String(text), Some(Json::String(expanded))) =
            (&mut node.value, expander.part("vars").get(&key.name))
        {
            text.clone_from(expanded);
        }
    }
    for (_, node) in sections.iter_mut() {
        expander.node(node)?;
    }
    Ok(())
}

/// The template that expands to `text`.
pub fn literal(text: &str) -> String {
    // `\{{` is a literal `{{`. A backslash before it would be taken for another escape, hence the
    // empty comment between the two.
    let mut template = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(OPEN) {
        let (before, after) = rest.split_at(place);
        template.push_str(before);
        if before.ends_with('\\') {
            template.push_str("\\{{!}}");
        }
        template.push_str("\\{{");
        rest = after.strip_prefix(OPEN).unwrap_or_default();
    }
    template + rest
}

struct Expander<'a> {
    registry: Handlebars<'static>,
    /// `{ vars, facts }`, filled as variables are expanded and when facts are first needed.
    context: Context,
    names: Vec<String>,
    facts: &'a Facts<'a>,
}

impl<'a> Expander<'a> {
    fn new(vars: &Table, facts: &'a Facts<'a>) -> Self {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        registry.register_escape_fn(handlebars::no_escape);
        let context = Context::from(json!({ "vars": {}, "facts": null }));
        Self {
            registry,
            context,
            names: vars.names().map(str::to_owned).collect(),
            facts,
        }
    }

    fn part(&self, root: &str) -> &Json {
        self.context.data().get(root).unwrap_or(&Json::Null)
    }

    fn define(&mut self, name: &str, value: Json) {
        if let Some(Json::Object(vars)) = self.context.data_mut().get_mut("vars") {
            vars.insert(name.to_owned(), value);
        }
    }

    /// Expands one variable after those it mentions. `chain` holds the names that wait for it.
    fn variable(
        &mut self,
        name: &str,
        node: &Node,
        vars: &Table,
        chain: &mut Vec<String>,
    ) -> Result<(), ProfileError> {
        if self.part("vars").get(name).is_some() {
            return Ok(());
        }
        let looped = chain.iter().any(|waiting| waiting == name);
        chain.push(name.to_owned());
        if looped || chain.len() > MAX_CHAIN {
            let problem = if looped {
                "need each other"
            } else {
                "refer to each other too deep"
            };
            let message = format!("variables {problem}: {}", chain.join(" -> "));
            return Err(ProfileError::new(message).at(node.at.clone()));
        }
        let value = match &node.value {
            Value::String(text) if text.contains(OPEN) => {
                let (template, paths) = compile(text, &node.at)?;
                for path in &paths {
                    if let [root, needed, ..] = path.as_slice()
                        && root == "vars"
                        && let Some(other) = vars.get(needed)
                    {
                        self.variable(needed, other, vars, chain)?;
                    }
                }
                Json::String(self.render(&template, &paths, &node.at)?)
            }
            value => plain(value, name, &node.at)?,
        };
        chain.pop();
        self.define(name, value);
        Ok(())
    }

    fn node(&mut self, node: &mut Node) -> Result<(), ProfileError> {
        match &mut node.value {
            Value::String(text) if text.contains(OPEN) => {
                let (template, paths) = compile(text, &node.at)?;
                *text = self.render(&template, &paths, &node.at)?;
            }
            Value::List(items) => items.iter_mut().try_for_each(|item| self.node(item))?,
            Value::Table(table) => table
                .iter_mut()
                .try_for_each(|(_, entry)| self.node(entry))?,
            _ => {}
        }
        Ok(())
    }

    fn render(
        &mut self,
        template: &Template,
        paths: &[Vec<String>],
        at: &Span,
    ) -> Result<String, ProfileError> {
        for path in paths {
            self.check_defined(path)
                .map_err(|error| error.at(at.clone()))?;
        }
        let mut output = StringOutput::new();
        template
            .render(
                &self.registry,
                &self.context,
                &mut RenderContext::new(None),
                &mut output,
            )
            .map_err(|error| self.not_rendered(&error).at(at.clone()))?;
        match output.into_string() {
            Ok(text) if text.len() <= MAX_EXPANDED => Ok(text),
            _ => Err(ProfileError::new("the string expands to more than 64 KiB").at(at.clone())),
        }
    }

    /// A helper's parameter may be missing without an error in handlebars' strict mode, so every
    /// mentioned name is looked up here.
    fn check_defined(&mut self, path: &[String]) -> Result<(), ProfileError> {
        let (root, name) = match path {
            [root, name, ..] => (root.as_str(), name.as_str()),
            [root] if root == "vars" || root == "facts" => {
                return Err(ProfileError::new(format!("`{root}` is not a value"))
                    .hint(format!("name one of them: {root}.NAME")));
            }
            _ => return Ok(()),
        };
        match root {
            "vars" if !self.names.iter().any(|known| known == name) => {
                let error = ProfileError::new(format!("undefined variable `vars.{name}`"));
                Err(error.suggest(name, self.names.iter().map(String::as_str)))
            }
            "facts" => self.check_fact(name),
            _ => Ok(()),
        }
    }

    fn check_fact(&mut self, name: &str) -> Result<(), ProfileError> {
        if self.part("facts").is_null() {
            let facts = (self.facts)().map_err(|cause| {
                ProfileError::new(format!("cannot tell `facts.{name}`: {cause}"))
            })?;
            if let Some(part) = self.context.data_mut().get_mut("facts") {
                *part = facts;
            }
        }
        match self.part("facts").as_object() {
            Some(facts) if !facts.contains_key(name) => {
                let error = ProfileError::new(format!("there is no fact `facts.{name}`"));
                Err(error.suggest(name, facts.keys().map(String::as_str)))
            }
            _ => Ok(()),
        }
    }

    fn not_rendered(&self, error: &RenderError) -> ProfileError {
        match error.reason() {
            RenderErrorReason::MissingVariable(Some(name)) => {
                let mut error = ProfileError::new(format!("undefined variable `{name}`"));
                let known: Vec<_> = self
                    .names
                    .iter()
                    .map(|known| format!("vars.{known}"))
                    .collect();
                let full = format!("vars.{name}");
                error.hint = suggestion(&full, known.iter().map(String::as_str));
                error
            }
            RenderErrorReason::HelperNotFound(name) => {
                ProfileError::new(format!("unknown helper `{name}` in the expression"))
            }
            reason => ProfileError::new(format!("the expression has no value: {reason}")),
        }
    }
}

fn compile(text: &str, at: &Span) -> Result<(Template, Vec<Vec<String>>), ProfileError> {
    let refused = |reason: String| {
        ProfileError::new(format!("not a template: {reason}"))
            .at(at.clone())
            .hint("write {{ vars.NAME }} or {{ facts.NAME }}; a literal {{ is \\{{")
    };
    if text.len() > MAX_EXPANDED {
        return Err(refused("it is longer than 64 KiB".to_owned()));
    }
    mention::check_nesting(text).map_err(refused)?;
    let template = Template::compile(text).map_err(|error| refused(error.reason().to_string()))?;
    let paths = mention::mentions(&template).map_err(refused)?;
    Ok((template, paths))
}

/// A variable without expressions as handlebars sees it. A fraction stays as written: `1.30` is
/// more often a version than a number.
fn plain(value: &Value, name: &str, at: &Span) -> Result<Json, ProfileError> {
    match value {
        Value::String(text) => Ok(Json::from(text.as_str())),
        Value::Integer(number) => Ok(Json::from(*number)),
        Value::Boolean(truth) => Ok(Json::from(*truth)),
        Value::Float(_) | Value::Datetime(_) => Ok(Json::from(at.text())),
        Value::List(_) | Value::Table(_) => Err(ProfileError::new(format!(
            "variable `{name}` is not a single value"
        ))
        .at(at.clone())
        .hint("variables are strings, numbers, true or false")),
    }
}

#[cfg(test)]
#[path = "expand_test.rs"]
mod tests;
