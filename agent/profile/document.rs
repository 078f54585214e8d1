//! One file as written, taken apart: what it says about itself, what it extends, and the layer it
//! adds.

use std::sync::Arc;

use super::diagnostic::ProfileError;
use super::merge::Layer;
use super::parse;
use super::tree::{Node, Source, Span, Table, Value};

/// The schema versions this program reads. A profile says which one it is written in, so that a
/// later program can still read it.
pub const SCHEMAS: &[&str] = &["v1alpha1"];

/// A parsed file.
#[derive(Debug)]
pub struct Document {
    /// `name`, if given.
    pub name: Option<String>,
    /// `description`, if given.
    pub description: Option<String>,
    /// `extends`, in order.
    pub extends: Vec<(String, Span)>,
    /// Everything else.
    pub layer: Layer,
}

impl Document {
    /// Parses a file.
    ///
    /// # Errors
    /// What is not TOML; no schema or an unknown one; a header key of the wrong type.
    pub fn parse(source: &Arc<Source>) -> Result<Self, ProfileError> {
        let mut root = parse::parse(source)?;
        check_schema(root.remove("schema").map(|(_, node)| node), source)?;
        let name = text(&mut root, "name")?;
        if let Some((name, at)) = &name
            && name.trim().is_empty()
        {
            return Err(ProfileError::new("`name` is empty").at(at.clone()));
        }
        Ok(Self {
            name: name.map(|(name, _)| name),
            description: text(&mut root, "description")?.map(|(description, _)| description),
            extends: extends(&mut root)?,
            layer: layer(root)?,
        })
    }
}

/// What is left of a file without its header.
///
/// # Errors
/// `vars` that is not a table.
pub fn layer(mut root: Table) -> Result<Layer, ProfileError> {
    let remove = root.remove("remove").map(|(_, node)| node);
    let vars = match root.remove("vars").map(|(_, node)| node) {
        None => Table::default(),
        Some(Node {
            value: Value::Table(vars),
            ..
        }) => vars,
        Some(other) => return Err(ProfileError::new("`vars` is a table").at(other.at)),
    };
    Ok(Layer {
        vars,
        sections: root,
        remove,
    })
}

fn check_schema(written: Option<Node>, source: &Arc<Source>) -> Result<(), ProfileError> {
    let known = SCHEMAS.join(", ");
    let Some(node) = written else {
        return Err(ProfileError::new("missing key `schema`")
            .at(Span::new(source, 0..0))
            .hint(format!("begin the profile with schema = \"{known}\"")));
    };
    match node.as_str() {
        Some(schema) if SCHEMAS.contains(&schema) => Ok(()),
        Some(schema) => Err(ProfileError::new(format!("unknown schema \"{schema}\""))
            .at(node.at.clone())
            .hint(format!("this nodeprep reads {known}"))),
        None => Err(ProfileError::new("`schema` is a string")
            .at(node.at)
            .hint(format!("this nodeprep reads \"{known}\""))),
    }
}

fn text(root: &mut Table, key: &str) -> Result<Option<(String, Span)>, ProfileError> {
    match root.remove(key).map(|(_, node)| node) {
        None => Ok(None),
        Some(Node {
            value: Value::String(text),
            at,
        }) => Ok(Some((text, at))),
        Some(other) => Err(ProfileError::new(format!("`{key}` is a string")).at(other.at)),
    }
}

fn extends(root: &mut Table) -> Result<Vec<(String, Span)>, ProfileError> {
    let refused = |at: Span| {
        let hint = "write extends = [\"kubeadm-base\", \"./other.toml\"]";
        ProfileError::new("`extends` is a list of profiles")
            .at(at)
            .hint(hint)
    };
    let items = match root.remove("extends").map(|(_, node)| node) {
        None => return Ok(Vec::new()),
        Some(Node {
            value: Value::List(items),
            ..
        }) => items,
        Some(other) => return Err(refused(other.at)),
    };
    let parent = |item: Node| match item.value {
        Value::String(name) => Ok((name, item.at)),
        _ => Err(refused(item.at)),
    };
    items.into_iter().map(parent).collect()
}
