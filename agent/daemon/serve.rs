//! Whoever asks is answered between two looks, by what is known: no question makes the daemon look.

use std::time::SystemTime;

use super::http::{self, Refusal, Request};
use super::status::View;
use super::{Daemon, METRICS, Moment, News};
use crate::error::Result;
use crate::host::{Clients, Reply, now};

impl Daemon<'_> {
    /// From now on it can be asked; where that is not so, the host is kept right nevertheless.
    pub(super) fn listen(&mut self) {
        let clients = Clients::listen();
        match clients.and_then(|clients| self.watch.hear(&clients).map(|()| clients)) {
            Ok(clients) => self.clients = Some(clients),
            Err(error) => self.tell(News::Trouble {
                text: error.to_string(),
            }),
        }
    }

    /// Does what is due for those who ask or read; says when something is again.
    pub(super) fn attend(&mut self, now: Moment) -> Result<Moment> {
        let until = |daemon: &Self| daemon.clients.as_ref().and_then(Clients::until);
        if until(self).is_some_and(|until| until <= now) {
            self.serve()?;
        }
        if self.textfile.due() <= now {
            self.publish(now);
        }
        Ok(until(self).unwrap_or(Moment::MAX).min(self.textfile.due()))
    }

    /// Answers who asks.
    pub(super) fn serve(&mut self) -> Result<()> {
        let now = now()?;
        if let Some(mut clients) = self.clients.take() {
            let view = self.view(now);
            clients.serve(now, &mut |said, may_follow| reply(&view, said, may_follow));
            self.clients = Some(clients);
        }
        Ok(())
    }

    /// Tells those who follow.
    pub(super) fn tell_followers(&mut self, news: &News) {
        let clients = self.clients.as_mut();
        if let Some(clients) = clients.filter(|clients| clients.anyone_follows())
            && let Ok(mut line) = serde_json::to_vec(news)
        {
            line.push(b'\n');
            clients.tell(&line);
        }
    }

    /// Writes the file for node_exporter.
    fn publish(&mut self, now: Moment) {
        self.textfile.written(now);
        let Some(path) = &self.profile.daemon.metrics else {
            return;
        };
        let text = self.view(now).metrics();
        let done = self.host.publish(&path.0, text.into_bytes());
        self.trouble(METRICS, done.err().map(|error| error.to_string()));
    }

    fn view(&self, now: Moment) -> View<'_> {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        View {
            profile: &self.profile.name,
            hash: &self.hash,
            settings: &self.profile.daemon,
            asked: self.request.mode,
            standing: &self.standing,
            patience: &self.patience,
            tally: &self.tally,
            held: self.held.as_deref(),
            bad: self.bad.as_deref(),
            since: self.since,
            now,
            // A clock before 1970 is wrong by more than can be told.
            clock: clock.unwrap_or_default(),
        }
    }
}

/// The answer to what a client said so far; none where more is to come.
fn reply(view: &View<'_>, said: &[u8], may_follow: bool) -> Option<Reply> {
    let whole = |bytes| Reply {
        bytes,
        follows: false,
    };
    Some(match Request::parse(said)? {
        Ok(Request::Status) => match serde_json::to_string(&view.status()) {
            Ok(json) => whole(http::answer(http::JSON, &(json + "\n"))),
            Err(_) => whole(Vec::new()),
        },
        Ok(Request::Metrics) => whole(http::answer(http::METRICS, &view.metrics())),
        Ok(Request::Events) if may_follow => Reply {
            bytes: http::stream(http::JSON_LINES),
            follows: true,
        },
        Ok(Request::Events) => whole(http::refuse(Refusal::Crowd)),
        Err(refusal) => whole(http::refuse(refusal)),
    })
}
