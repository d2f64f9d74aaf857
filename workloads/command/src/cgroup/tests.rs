use super::*;
use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
};

/// A tree of files such as a delegated cgroup has, with a kernel that does nothing.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(controllers: &str) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        let own = tree.own();
        fs::create_dir_all(tree.0.path().join("proc/self")).unwrap();
        fs::create_dir_all(&own).unwrap();
        fs::write(tree.0.path().join("proc/self/cgroup"), "0::/braid.service\n").unwrap();
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        fs::write(tree.0.path().join("proc/self/mountinfo"), mounts).unwrap();
        for (file, text) in [("cgroup.controllers", controllers), ("cgroup.procs", ""), ("cgroup.subtree_control", "")] {
            fs::write(own.join(file), text).unwrap();
        }
        tree
    }

    fn own(&self) -> PathBuf {
        self.0.path().join("sys/fs/cgroup/braid.service")
    }
}

/// The files of a group, as the kernel would make them with it.
fn files(folder: &Path) {
    for file in ["memory.max", "memory.oom.group", "memory.swap.max", "cgroup.kill", "cgroup.procs"] {
        fs::write(folder.join(file), "").unwrap();
    }
}

#[test]
fn a_cgroup_that_was_given_to_this_process_is_divided_and_another_is_not() {
    let tree = Tree::new("cpu memory pids\n");
    let place = Place::find(tree.0.path()).unwrap();
    assert_eq!(place, Place { folder: tree.own(), is_top: false });
    assert_eq!(place.check(false), Ok(()));
    fs::create_dir(tree.own().join("braid-1-2.3-4")).unwrap();
    fs::create_dir(tree.own().join("other")).unwrap();
    if !rustix::process::geteuid().is_root()
        || rustix::fs::setxattr(tree.own(), "user.delegate", b"1", rustix::fs::XattrFlags::empty()).is_ok()
    {
        assert_eq!(divide(tree.0.path()), Ok(tree.own()));
        assert_eq!(fs::read_to_string(tree.own().join("cgroup.subtree_control")).unwrap(), "+memory");
        assert!(!tree.own().join("braid-1-2.3-4").exists() && tree.own().join("other").exists());
    }
    let tree = Tree::new("cpu pids\n");
    let why = divide(tree.0.path()).unwrap_err();
    assert!(why.ends_with("braid.service has no memory controller"), "{why}");
    let why = divide(&tree.0.path().join("nowhere")).unwrap_err();
    assert_eq!(why, "no cgroup2 file system is mounted that has this process");
}

#[test]
fn root_keeps_off_a_cgroup_that_nobody_gave_away() {
    let tree = Tree::new("memory\n");
    let why = Place::find(tree.0.path()).unwrap().check(true).unwrap_err().to_string();
    assert!(why.contains("is not delegated to this process"), "{why}");
}

#[test]
fn a_group_is_given_its_limit_and_says_what_became_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let group = Group::make(folder.path(), "braid-x").unwrap();
    assert_eq!(group.limit(1).unwrap_err().kind(), io::ErrorKind::NotFound, "nothing is made that the kernel does not have");
    files(group.folder());
    group.limit(64 << 20).unwrap();
    let read = |file: &str| fs::read_to_string(group.folder().join(file)).unwrap();
    assert_eq!(
        (read("memory.max"), read("memory.oom.group"), read("memory.swap.max")),
        ("67108864".into(), "1".into(), "0".into())
    );
    fs::remove_file(group.folder().join("memory.swap.max")).unwrap();
    group.limit(1 << 20).unwrap();
    for (events, out) in [
        ("", false),
        ("low 0\nhigh 0\nmax 9\noom 0\noom_kill 0\noom_group_kill 0\n", false),
        ("oom 1\noom_kill 3\noom_group_kill 1\n", true),
        ("oom_kill x\n", false),
        ("oom_killer 3\n", false),
    ] {
        fs::write(group.folder().join("memory.events"), events).unwrap();
        assert_eq!(group.ran_out(), out, "{events:?}");
    }
    group.kill();
    assert_eq!(read("cgroup.kill"), "1");
    fs::remove_dir_all(group.keep()).unwrap();
}

/// A folder of a real cgroup file system in which groups can be made, with or without controllers.
fn real() -> Option<PathBuf> {
    let folder = Place::find(Path::new("/")).ok()?.folder;
    let probe = folder.join(format!("braid-probe-{}", std::process::id()));
    fs::create_dir(&probe).ok()?;
    fs::remove_dir(&probe).ok()?;
    Some(folder)
}

/// Starts a shell through a launcher that is one too, in the group.
fn shell(group: &Group, line: &str) -> std::process::Child {
    let enter = r#"echo 0 > "$1/cgroup.procs" && shift 3 && exec "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", enter, "enter"]).arg(group.folder()).args(["-", "-", "sh", "-c", line]);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn what_leaves_its_session_is_killed_with_its_group() {
    let Some(place) = real() else {
        eprintln!("no cgroup2 file system in which this process may make groups: not tried");
        return;
    };
    let group = Group::make(&place, &format!("braid-test-{}", std::process::id())).unwrap();
    let folder = group.folder().to_owned();
    let mut child = shell(&group, "setsid sleep 100 & echo; wait");
    let mut line = String::new();
    io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let inside = fs::read_to_string(folder.join("cgroup.procs")).unwrap();
    assert!(inside.lines().any(|pid| pid == child.id().to_string()), "{inside:?}");
    group.kill();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    drop(group);
    assert!(!folder.exists(), "it is gone with all that was in it");
}

#[test]
fn the_kernel_keeps_a_limit_where_it_may() {
    let place = match divide(Path::new("/")) {
        Ok(place) => place,
        Err(why) => {
            eprintln!("not tried: {why}");
            return;
        }
    };
    let group = Group::make(&place, &format!("braid-test-{}-limit", std::process::id())).unwrap();
    group.limit(32 << 20).unwrap();
    let status = shell(&group, "head -c 400000000 /dev/zero | tail -n 1").wait().unwrap();
    assert!(group.ran_out() && status.signal() == Some(9), "{status:?}");
}
