//! What is wrong with a profile, where, and what was probably meant: a typo in a profile is the
//! first thing most users meet, and a line with a caret under it is the quickest answer.

use std::cmp::Reverse;
use std::fmt;

use annotate_snippets::{
    AnnotationKind, Group, Level, Renderer, Snippet, Title, normalize_untrusted_str,
};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::tree::Span;
use crate::secret;

/// Lists of known names up to this length are shown whole when no name is near.
const SHOWN_NAMES: usize = 40;

/// A mistake in a profile (exit code 65), or in a `--set` ([`ProfileError::is_usage`], exit 64).
#[derive(Debug, Clone)]
pub struct ProfileError {
    /// One sentence, without the place.
    pub message: String,
    /// The offending key or value; `None` where no text is to blame (a file that can't be read).
    pub at: Option<Span>,
    /// What to do about it.
    pub hint: Option<String>,
    usage: bool,
}

impl ProfileError {
    /// An error without place or hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            at: None,
            hint: None,
            usage: false,
        }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.at = Some(span);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Suggests the name nearest to `name`, or shows all when they are few.
    #[must_use]
    pub fn suggest<'a>(mut self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.hint = suggestion(name, known);
        self
    }

    /// Marks the command line, not a file, as what is to be mended.
    #[must_use]
    pub(super) fn usage(mut self) -> Self {
        self.usage = true;
        self
    }

    /// Whether the mistake is in how a `--set` is spelled.
    pub fn is_usage(&self) -> bool {
        self.usage
    }

    /// Several lines for people: the message, the place with the text and a caret, the hint.
    /// With `color`, ANSI styles; there is no newline at the end.
    pub fn render(&self, color: bool) -> String {
        self.draw(Level::ERROR.primary_title(&self.message), color)
    }

    /// The same for what is no mistake but may become one; `lint` is the name of who says so.
    pub fn render_warning(&self, lint: &str) -> String {
        self.draw(Level::WARNING.primary_title(&self.message).id(lint), true)
    }

    fn draw<'a>(&'a self, title: Title<'a>, color: bool) -> String {
        let mut group = Group::with_title(title);
        let text = self
            .at
            .as_ref()
            .map(|span| secret::masked(&span.source.text));
        if let (Some(span), Some(text)) = (&self.at, &text) {
            let caret = AnnotationKind::Primary.span(span.range());
            let name = normalize_untrusted_str(&span.source.name);
            group = group.element(Snippet::source(text.as_str()).path(name).annotation(caret));
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(normalize_untrusted_str(hint)));
        }
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.hyperlink(false).render(&[group])
    }
}

/// One line: `worker.toml:7:1: unknown key ...; did you mean ...`.
impl fmt::Display for ProfileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = &self.at {
            let (line, column) = span.line_column();
            write!(formatter, "{}:{line}:{column}: ", span.source.name)?;
        }
        formatter.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ProfileError {}

/// `{message, file, line, column, hint}`; null where unknown.
impl Serialize for ProfileError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = self.at.as_ref().map(Span::line_column);
        let mut fields = serializer.serialize_struct("ProfileError", 5)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("file", &self.at.as_ref().map(|span| &span.source.name))?;
        fields.serialize_field("line", &place.map(|(line, _)| line))?;
        fields.serialize_field("column", &place.map(|(_, column)| column))?;
        fields.serialize_field("hint", &self.hint)?;
        fields.end()
    }
}

/// The hint for a name that is not known, if there is anything to say.
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(name, &known) {
        return Some(format!("did you mean `{near}`?"));
    }
    let few = (1..=SHOWN_NAMES).contains(&known.len());
    few.then(|| format!("known: {}", known.join(", ")))
}

/// The known name that is `name` but for a slip or two: one for short names, more for long ones.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let slips = 1 + name.chars().count() / 4;
    let shared = |candidate: &str| {
        name.chars()
            .zip(candidate.chars())
            .take_while(|(a, b)| a == b)
            .count()
    };
    known
        .iter()
        .map(|&candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, candidate)| (*distance, Reverse(shared(candidate))))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
#[path = "diagnostic_test.rs"]
mod tests;
