//! A file system of its own for one server, on an image file: it can be filled, and copied as a power cut would leave it. And a slow
//! disk: a library that waits before each flush, loaded into the server.

use std::path::{Path, PathBuf};

use local::tools::run;
use tokio::process::Command;

/// A mounted image; unmounted and removed at the end.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    /// Where it is mounted; the server's data lies in `data` below it.
    pub mount: PathBuf,
}

impl Disk {
    /// Makes and mounts one of this many megabytes. Needs root.
    pub async fn make(name: &str, megabytes: u64) -> anyhow::Result<Disk> {
        let base = local::tools::base()?;
        let unique = format!("{name}-{}", std::process::id());
        let disk = Disk { image: base.join(format!("{unique}.img")), mount: base.join(format!("{unique}.mount")) };
        std::fs::File::create(&disk.image)?.set_len(megabytes << 20)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk.image), "mkfs.ext4").await?;
        std::fs::create_dir_all(&disk.mount)?;
        disk.mounted(&disk.image).await?;
        let data = disk.data();
        std::fs::create_dir_all(&data)?;
        local::servers::give_to_server(&data)?;
        Ok(disk)
    }

    /// Where the server keeps its data.
    pub fn data(&self) -> PathBuf {
        self.mount.join("data")
    }

    async fn mounted(&self, image: &Path) -> anyhow::Result<()> {
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&self.mount), "mount").await
    }

    /// What was written is on the device.
    pub async fn sync(&self) -> anyhow::Result<()> {
        run(Command::new("sync").arg("--file-system").arg(&self.mount), "sync").await
    }

    /// Copies the image as it is on the device now: what the server has not synced is not in it. The server must be paused.
    pub async fn snapshot(&self) -> anyhow::Result<PathBuf> {
        let copy = self.image.with_extension("cut");
        run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&copy), "cp").await?;
        Ok(copy)
    }

    /// Mounts a copy in the image's place. The server must be gone.
    pub async fn swap(&mut self, copy: PathBuf) -> anyhow::Result<()> {
        self.unmount().await?;
        std::fs::rename(&copy, &self.image)?;
        self.mounted(&self.image).await
    }

    /// Leaves no byte free; what is returned frees them.
    pub fn fill(&self) -> PathBuf {
        let ballast = self.mount.join("ballast");
        if let Ok(mut file) = std::fs::File::create(&ballast) {
            use std::io::Write as _;
            for block in [1 << 16, 1] {
                // Until there is no room for even one byte more.
                while file.write_all(&vec![0_u8; block]).is_ok() {}
            }
        }
        ballast
    }

    async fn unmount(&self) -> anyhow::Result<()> {
        for _ in 0..50 {
            if run(Command::new("umount").arg(&self.mount), "umount").await.is_ok() {
                return Ok(());
            }
            local::pause(std::time::Duration::from_millis(100)).await;
        }
        anyhow::bail!("{} cannot be unmounted", self.mount.display())
    }

    /// Gives everything back.
    pub async fn remove(self) -> anyhow::Result<()> {
        self.unmount().await?;
        std::fs::remove_file(&self.image)?;
        Ok(std::fs::remove_dir(&self.mount)?)
    }
}

const SLOW: &str = include_str!("slow_disk.c");

/// The environment of a server each of whose flushes takes as many milliseconds longer as this file says.
pub async fn slow(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let library = file.with_extension("so");
    let source = file.with_extension("c");
    std::fs::write(&source, SLOW)?;
    run(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source), "cc").await?;
    let env = [("LD_PRELOAD", &library), ("HAIQU_FLUSH_MS_FILE", &file.to_owned())];
    Ok(env.map(|(name, value)| (name.to_owned(), value.display().to_string())).into())
}
