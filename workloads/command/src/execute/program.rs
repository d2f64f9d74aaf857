//! Which file a program's name means, and whether it can be run. Asked before the start, so that what is wrong has a name.

use crate::CommandError;
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// What a name is looked up in where nothing else is said, as `execvp` does.
const USUAL: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// Its file.
    pub(super) path: PathBuf,
    /// As it was asked for: what it finds as its own name.
    pub(super) name: String,
    /// What follows.
    pub(super) arguments: Vec<String>,
}

/// Finds the program of a command: a path from the folder `dir`, or a name in `path` (`None`: the worker's own PATH).
pub(super) fn find(command: &[String], dir: &Path, path: Option<&str>) -> Result<Program, CommandError> {
    let Some((name, arguments)) = command.split_first() else {
        return Err(CommandError::Field { field: "command", problem: "name a program".into() });
    };
    let found = |path| Program { path, name: name.clone(), arguments: arguments.to_vec() };
    if name.contains('/') {
        let file = dir.join(name);
        return match runnable(&file) {
            Ok(()) => Ok(found(file)),
            Err(None) => Err(CommandError::NotFound { program: file.display().to_string(), looked: None }),
            Err(Some(problem)) => Err(CommandError::NotExecutable { program: file, problem }),
        };
    }
    let own = || std::env::var("PATH").unwrap_or_else(|_| USUAL.to_owned());
    let looked = path.map_or_else(own, str::to_owned);
    let mut unable = None;
    for folder in looked.split(':') {
        let file = dir.join(folder).join(name);
        match runnable(&file) {
            Ok(()) => return Ok(found(file)),
            Err(None) => {}
            Err(Some(problem)) => unable = unable.or(Some((file, problem))),
        }
    }
    Err(match unable {
        Some((program, problem)) => CommandError::NotExecutable { program, problem },
        None => CommandError::NotFound { program: name.clone(), looked: Some(looked) },
    })
}

/// Checks that a folder can be worked in.
pub(super) fn check_folder(dir: &Path) -> Result<(), CommandError> {
    let wrong = |source| CommandError::Dir { dir: dir.to_owned(), source };
    let is_folder = fs::metadata(dir).map_err(wrong)?.is_dir();
    if is_folder { Ok(()) } else { Err(wrong(io::ErrorKind::NotADirectory.into())) }
}

/// `Err(None)`: there is no such file.
fn runnable(file: &Path) -> Result<(), Option<String>> {
    let about = match fs::metadata(file) {
        Ok(about) => about,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Err(None),
        Err(error) => return Err(Some(error.to_string())),
    };
    if !about.is_file() {
        return Err(Some("it is no file".into()));
    }
    if about.permissions().mode() & 0o111 == 0 { Err(Some("it is not executable".into())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_one(name: &str, dir: &Path, path: Option<&str>) -> Result<PathBuf, String> {
        find(&[name.to_owned()], dir, path).map(|program| program.path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_is_found_or_what_is_wrong_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for (name, mode) in [("run", 0o755), ("data", 0o644)] {
            fs::write(dir.join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = dir.to_str();
        assert_eq!(find_one("run", Path::new("/"), path), Ok(dir.join("run")));
        assert_eq!(find_one("./run", dir, Some("")), Ok(dir.join("./run")));
        assert_eq!(find_one("run", dir, Some("/nowhere:.")), Ok(dir.join("./run")));
        assert!(find_one("sh", dir, None).is_ok());
        let shown = dir.display();
        for (name, path, said) in [
            ("data", path, format!("cannot run {shown}/data: it is not executable")),
            ("./data", None, format!("cannot run {shown}/./data: it is not executable")),
            ("nothing", Some("/bin"), "there is no program \"nothing\" in /bin".to_owned()),
            ("./nothing", None, format!("there is no program \"{shown}/./nothing\"")),
            ("/", None, "cannot run /: it is no file".to_owned()),
        ] {
            assert_eq!(find_one(name, dir, path), Err(said));
        }
        assert!(check_folder(dir).is_ok());
        let error = check_folder(&dir.join("run")).unwrap_err().to_string();
        assert!(error.contains("not a directory"), "{error}");
        assert!(check_folder(&dir.join("nowhere")).unwrap_err().to_string().contains("No such file"));
    }
}
