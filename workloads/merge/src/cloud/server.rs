//! A web server of a folder on loopback, with ranges, entity tags, and whatever trouble a test wants.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// What was asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) range: Option<(u64, u64)>,
    pub(super) headers: BTreeMap<String, String>,
}

/// What is answered instead of the file.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// This status and text.
    Status(u16, String),
    /// So many bytes of the answer, and then the connection closes.
    Cut(usize),
    /// The file without its tag, or with this one.
    Tag(Option<String>),
    /// The whole file, whatever was asked.
    Whole,
    /// Ask there.
    Redirect(String),
    /// This other file.
    File(PathBuf),
}

type Rule = Box<dyn Fn(&Asked) -> Option<Trouble> + Send + Sync>;

/// The server; it lives as long as the test process.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) url: String,
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    rule: Arc<Mutex<Rule>>,
}

impl Server {
    /// Serves what is in the folder.
    pub(super) fn of(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, asked: Arc::default(), rule: Arc::new(Mutex::new(Box::new(|_| None))) };
        let (own, root) = (server.clone(), root.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, root) = (own.clone(), root.clone());
                std::thread::spawn(move || while own.answer(&root, &stream).is_some() {});
            }
        });
        server
    }

    /// From now on this is looked at first.
    pub(super) fn trouble(&self, rule: impl Fn(&Asked) -> Option<Trouble> + Send + Sync + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// Bytes that were asked for, of files whose path ends so.
    pub(super) fn bytes(&self, end: &str) -> u64 {
        let asked = self.asked.lock().unwrap();
        let of = asked.iter().filter(|asked| asked.path.ends_with(end)).filter_map(|asked| asked.range);
        of.map(|(first, last)| last + 1 - first).sum()
    }

    fn answer(&self, root: &Path, mut stream: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next()?.ok()?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let line = lines.next()?.ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let range = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let range = range.map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap()));
        let asked = Asked { path, range, headers };
        self.asked.lock().unwrap().push(asked.clone());
        let trouble = self.rule.lock().unwrap()(&asked);
        let file = match &trouble {
            Some(Trouble::File(path)) => path.clone(),
            _ => root.join(asked.path.trim_start_matches('/')),
        };
        let status = |status: u16, text: &str, more: &str| {
            format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n{more}\r\n{text}", text.len()).into_bytes()
        };
        let body = match &trouble {
            Some(Trouble::Status(code, text)) => return stream.write_all(&status(*code, text, "")).ok(),
            Some(Trouble::Redirect(to)) => return stream.write_all(&status(302, "", &format!("location: {to}\r\n"))).ok(),
            _ => match fs::read(&file) {
                Ok(body) => body,
                Err(_) => return stream.write_all(&status(404, "none", "")).ok(),
            },
        };
        let own = format!("\"{}\"", blake3::hash(&body));
        let tag = match &trouble {
            Some(Trouble::Tag(tag)) => tag.clone(),
            _ => Some(own),
        };
        if let (Some(wanted), Some(tag)) = (asked.headers.get("if-match"), &tag)
            && wanted != tag
        {
            return stream.write_all(&status(412, "", "")).ok();
        }
        let total = body.len() as u64;
        let tag = tag.map_or_else(String::new, |tag| format!("etag: {tag}\r\n"));
        let (head, part) = match asked.range.filter(|_| !matches!(trouble, Some(Trouble::Whole))) {
            Some((first, _)) if first >= total => return stream.write_all(&status(416, "", "")).ok(),
            Some((first, last)) => {
                let last = last.min(total - 1);
                let part = &body[first as usize..=last as usize];
                (format!("HTTP/1.1 206 -\r\ncontent-range: bytes {first}-{last}/{total}\r\n"), part)
            }
            None => ("HTTP/1.1 200 -\r\n".to_owned(), &body[..]),
        };
        stream.write_all(format!("{head}{tag}content-length: {}\r\n\r\n", part.len()).as_bytes()).ok()?;
        if method == "HEAD" {
            return Some(());
        }
        if let Some(Trouble::Cut(bytes)) = trouble {
            stream.write_all(&part[..part.len().min(bytes)]).ok()?;
            stream.shutdown(std::net::Shutdown::Both).ok()?;
            return None;
        }
        stream.write_all(part).ok()
    }
}
