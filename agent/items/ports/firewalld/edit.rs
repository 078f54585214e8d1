//! Adding elements to firewalld's XML where every other byte stays: people comment these files, and
//! firewalld itself rewrites them whole.

use std::path::Path;

use roxmltree::Node;

use super::zone::document;
use crate::error::{Result, trouble};

/// The text with `elements`, each on a line of its own, as the last children of its root; after the
/// last of those with the same tag where there is one.
///
/// # Errors
/// Where the text is no XML.
pub fn with(path: &Path, text: &str, elements: &[String]) -> Result<String> {
    let document = document(path, text)?;
    let root = document.root_element();
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let tag = |element: &str| -> String {
        let name = element.trim_start_matches('<').chars();
        name.take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect()
    };
    let ours = elements.first().map(|e| tag(e)).unwrap_or_default();
    let like = elements_of(root).rfind(|node| node.tag_name().name() == ours);
    let last = like.or_else(|| elements_of(root).next_back());
    if let Some(last) = last {
        let indent = indent(text, last.range().start);
        let lines: String = elements
            .iter()
            .map(|element| format!("{newline}{indent}{element}"))
            .collect();
        let at = end_of_line(text, last);
        return splice(path, text, at, at, &lines);
    }
    let lines: String = elements
        .iter()
        .map(|element| format!("  {element}{newline}"))
        .collect();
    let whole = root.range();
    let own = text.get(whole.clone()).unwrap_or_default();
    // Without child elements its first `<` after its start begins the end tag or a comment.
    match own.strip_suffix("/>") {
        Some(start) => {
            let name = root.tag_name().name();
            let end = format!("{}>{newline}{lines}</{name}>", start.trim_end());
            splice(path, text, whole.start, whole.end, &end)
        }
        None => {
            let at = whole.start + own.rfind("</").unwrap_or_default();
            let before = text.get(..at).unwrap_or_default();
            let begin = if before.ends_with('\n') { "" } else { newline };
            splice(path, text, at, at, &format!("{begin}{lines}"))
        }
    }
}

fn elements_of<'a, 'b>(root: Node<'a, 'b>) -> impl DoubleEndedIterator<Item = Node<'a, 'b>> {
    root.children().filter(Node::is_element)
}

/// Where the line of an element ends, past comments on it; the element's own end where more is on it.
fn end_of_line(text: &str, element: Node) -> usize {
    for node in element.next_siblings().skip(1) {
        let own = text.get(node.range()).unwrap_or_default();
        match own.find('\n') {
            None if node.is_comment() || own.trim().is_empty() => {}
            Some(at) if own.trim().is_empty() => {
                let line = own.get(..at).unwrap_or_default();
                return node.range().start + line.trim_end_matches('\r').len();
            }
            _ => break,
        }
    }
    element.range().end
}

fn splice(path: &Path, text: &str, from: usize, to: usize, new: &str) -> Result<String> {
    match (text.get(..from), text.get(to..)) {
        (Some(before), Some(after)) => Ok(format!("{before}{new}{after}")),
        _ => Err(trouble!("{}: can't be edited", path.display())),
    }
}

/// The white space that the line at `at` begins with, where nothing else is before `at`.
fn indent(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    match line.trim().is_empty() {
        true => line,
        false => "  ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PORT: &str = "<port port=\"6443\" protocol=\"tcp\"/>";

    fn edited(text: &str) -> String {
        with(Path::new("zone.xml"), text, &[PORT.to_owned()]).unwrap()
    }

    #[test]
    fn goes_after_its_like() {
        let public = "<?xml version=\"1.0\"?>\n<zone>\n\t<short>P</short>\n\t<port port=\"1\" protocol=\"tcp\"/> <!-- a -->\n\t<forward/>\n</zone>\n";
        assert_eq!(
            edited(public),
            format!(
                "<?xml version=\"1.0\"?>\n<zone>\n\t<short>P</short>\n\t<port port=\"1\" protocol=\"tcp\"/> <!-- a -->\n\t{PORT}\n\t<forward/>\n</zone>\n"
            )
        );
    }

    #[test]
    fn a_root_without_elements_gets_its_first() {
        assert_eq!(
            edited("<zone target=\"DROP\" />"),
            format!("<zone target=\"DROP\">\n  {PORT}\n</zone>")
        );
        assert_eq!(
            edited("<zone>\r\n<!-- </zone> -->\r\n</zone>"),
            format!("<zone>\r\n<!-- </zone> -->\r\n  {PORT}\r\n</zone>")
        );
        assert_eq!(
            edited("<zone></zone>"),
            format!("<zone>\n  {PORT}\n</zone>")
        );
        let short = "<zone><service name='ssh'/></zone>";
        assert_eq!(
            edited(short),
            format!("<zone><service name='ssh'/>\n  {PORT}</zone>")
        );
    }

    #[test]
    fn what_is_no_xml_is_left_alone() {
        for text in [
            "",
            "<zone>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><zone>&b;</zone>",
        ] {
            let error = with(Path::new("/z.xml"), text, &[PORT.to_owned()]).unwrap_err();
            assert!(error.to_string().starts_with("/z.xml: "), "{error}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_survive(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "\n", "\r\n", "  ", "\t", "<!-- </zone> <port/> -->", "<service name=\"ssh\"/>",
                    "<port port=\"80\" protocol='tcp'/>", "<rule><port port=\"1\" protocol=\"tcp\"/><accept/></rule>",
                    "<short>Öffentlich &amp; frei</short>", "<![CDATA[</zone>]]>", "<?pi </zone>?>",
                ]),
                0..8,
            ),
            head in prop::sample::select(vec!["", "\u{feff}", "<?xml version=\"1.0\"?>\n<!-- a -->"]),
        ) {
            let old = format!("{head}<zone>{}</zone>\n<!-- end -->", parts.concat());
            let new = edited(&old);
            let at = new.find(PORT).unwrap();
            // Without the line that was added it is the old text again.
            let before = new[..at].trim_end();
            let (begin, end) = (before.len(), at + PORT.len());
            prop_assert!(old.starts_with(before));
            prop_assert!(new[begin..].ends_with(new[end..].trim_start()) && old.ends_with(new[end..].trim_start()));
            let squeezed = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(
                squeezed(&old),
                squeezed(&format!("{}{}", &new[..at], &new[end..]))
            );
            let ports = |text: &str| {
                let document = roxmltree::Document::parse(text).unwrap();
                document.root_element().children().filter(|n| n.has_tag_name("port")).count()
            };
            prop_assert_eq!(ports(&new), ports(&old) + 1);
        }

        #[test]
        fn no_text_panics(text in "[<>/a-z\"= é\n-]{0,40}") {
            let _ = with(Path::new("z"), &text, &[PORT.to_owned()]);
        }
    }
}
