//! Which names a template mentions: variables are expanded in the order they need each other, and
//! facts are gathered only when some string wants one.

use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};
use handlebars::{Path, PathSeg};

/// Levels of blocks and brackets in a template. Its parser recurses, and overflows the stack at
/// some two thousand.
const MAX_NESTING: usize = 32;

/// Refuses what would overflow the template parser's stack.
///
/// # Errors
/// The reason.
pub fn check_nesting(template: &str) -> Result<(), String> {
    let is_block = |piece: &&str| {
        piece
            .trim_start_matches(['~', ' ', '\t', '\r', '\n'])
            .starts_with('#')
    };
    let blocks = template.split("{{").skip(1).filter(is_block).count();
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for c in template.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if blocks.max(deepest) > MAX_NESTING {
        return Err(format!(
            "more than {MAX_NESTING} levels of blocks or brackets"
        ));
    }
    Ok(())
}

/// The dotted names in `template`, each as its parts (`["vars", "socket"]`).
///
/// # Errors
/// The reason, for what profiles can't use: partials and decorators. An inline partial could
/// include itself for ever.
pub fn mentions(template: &Template) -> Result<Vec<Vec<String>>, String> {
    let mut paths = Vec::new();
    in_template(template, &mut paths)?;
    Ok(paths)
}

fn in_template(template: &Template, paths: &mut Vec<Vec<String>>) -> Result<(), String> {
    template
        .elements
        .iter()
        .try_for_each(|element| in_element(element, paths))
}

fn in_element(element: &TemplateElement, paths: &mut Vec<Vec<String>>) -> Result<(), String> {
    match element {
        TemplateElement::RawString(_) | TemplateElement::Comment(_) => Ok(()),
        TemplateElement::HtmlExpression(call)
        | TemplateElement::Expression(call)
        | TemplateElement::HelperBlock(call) => in_call(call, paths),
        _ => Err("partials ({{> }}) and decorators ({{* }}) are not for profiles".to_owned()),
    }
}

fn in_call(call: &HelperTemplate, paths: &mut Vec<Vec<String>>) -> Result<(), String> {
    in_parameter(&call.name, paths)?;
    for parameter in call.params.iter().chain(call.hash.values()) {
        in_parameter(parameter, paths)?;
    }
    let inner = call.template.iter().chain(&call.inverse);
    inner
        .into_iter()
        .try_for_each(|template| in_template(template, paths))
}

fn in_parameter(parameter: &Parameter, paths: &mut Vec<Vec<String>>) -> Result<(), String> {
    match parameter {
        Parameter::Path(Path::Relative((parts, _))) => {
            paths.push(parts.iter().filter_map(named).collect())
        }
        Parameter::Subexpression(inner) => in_element(inner.as_element(), paths)?,
        _ => {}
    }
    Ok(())
}

/// Leaves out what only says where to start from: `this.`, `../`, `@root.`.
fn named(part: &PathSeg) -> Option<String> {
    match part {
        PathSeg::Named(name) => Some(name.clone()),
        _ => None,
    }
}
