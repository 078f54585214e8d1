//! News in journald with the fields by which they are found again, as `journalctl NODEPREP_ITEM=sysctl`.

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::daemon::News;
use crate::host::prints_to_journald;
use crate::report::Outcome;

/// The news among what is traced.
const NEWS: &str = "news";
const PREFIX: &str = "NODEPREP";

/// Tells journald the news, and what else is traced down to this level; none where what is printed does
/// not go there.
pub(super) fn subscriber(level: Level) -> Option<impl Subscriber + Send + Sync> {
    if !prints_to_journald() {
        return None;
    }
    // Without its socket what is printed gets there as well, without fields.
    let layer = tracing_journald::layer().ok()?;
    let layer = layer
        .with_field_prefix(Some(PREFIX.into()))
        .with_syslog_identifier("nodeprep".into());
    let is_told = filter_fn(move |meta| meta.target() == NEWS || *meta.level() <= level);
    Some(tracing_subscriber::registry().with(layer.with_filter(is_told)))
}

/// A level has to be a constant where it is traced.
macro_rules! event {
    ($level:expr, $($field:tt)*) => {
        match $level {
            Level::ERROR => tracing::error!(target: NEWS, $($field)*),
            Level::WARN => tracing::warn!(target: NEWS, $($field)*),
            _ => tracing::info!(target: NEWS, $($field)*),
        }
    };
}

/// Tells a piece of news in the words it is printed in.
pub(super) fn tell(news: &News, line: &str) {
    let line = anstream::adapter::strip_str(line.trim_end()).to_string();
    match news {
        News::Outcome(entry) => event!(
            level(entry.outcome),
            item = entry.item,
            subject = entry.subject,
            outcome = entry.outcome.words(),
            live = super::words(&entry.live),
            boot = super::words(&entry.boot),
            error = entry.error,
            "{line}"
        ),
        News::LeftAlone { item, subject, .. } => event!(
            Level::WARN,
            item,
            subject,
            outcome = Outcome::Blocked.words(),
            "{line}"
        ),
        News::BadProfile { .. } | News::Trouble { .. } => event!(Level::ERROR, "{line}"),
        News::Held { .. } => event!(Level::WARN, "{line}"),
        News::Ready { .. } | News::Resumed | News::Profile { .. } => event!(Level::INFO, "{line}"),
    }
}

fn level(outcome: Outcome) -> Level {
    match outcome {
        Outcome::InSync | Outcome::Fixed | Outcome::NotApplicable => Level::INFO,
        Outcome::AfterReboot | Outcome::Blocked | Outcome::Differs => Level::WARN,
        Outcome::Unfixed | Outcome::Unknown | Outcome::Failed => Level::ERROR,
    }
}
