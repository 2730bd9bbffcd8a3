"""The video files under a folder, and which of them an annotation means."""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from slowfast_ext.data.video_list import normalize_path
from slowfast_ext.prepare.plan import class_key, split_in_name
from vtn.errors import InputError

VIDEO_SUFFIXES = frozenset(
    ".3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv".split()
)


class VideoIndex:
    """All videos under a folder, by the names of their files.

    Hidden files and folders are passed over: copies from a Mac hold a `._name.mp4`, no video, for each video.

    Attributes:
        folder: The folder, absolute, without `..`.
        files: Paths of videos within it, sorted.
        num_others: Files that are no videos by their suffix.
        num_ambiguous: How often `find` had to choose between files that fit equally well.
    """

    def __init__(self, folder: Path, *, without: Path | None = None) -> None:
        """Walk the folder, links included.

        Args:
            folder: Where the videos lie.
            without: The folder that this program writes into, if any; nothing in it is a video to be read.

        Raises:
            InputError: If the folder is missing or holds no videos.
        """
        self.folder = Path(normalize_path(folder.absolute()))
        if not self.folder.is_dir():
            raise InputError(f"{folder} does not exist or is not a folder; it must hold the videos.")
        apart = None if without is None else os.path.realpath(without)
        if os.path.realpath(self.folder) == apart:
            raise InputError(f"--videos and --out are both {folder}: choose another folder for --out.")
        self.files: list[str] = []
        self.num_others = self.num_ambiguous = 0
        self._walk(apart)
        if not self.files:
            others = f"{self.num_others} other file{'s' * (self.num_others != 1)}"
            raise InputError(f"{folder} holds no videos ({others}).")
        self.files.sort()
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in self.files:
            self._by_stem[PurePosixPath(name).stem].append(name)

    def _walk(self, without: str | None) -> None:
        seen = set()
        for folder, folders, files in os.walk(self.folder, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen or real == without:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                if name.startswith("."):
                    continue
                if os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES:
                    self.files.append(os.path.relpath(os.path.join(folder, name), self.folder))
                else:
                    self.num_others += 1

    def path(self, name: str) -> str:
        """Absolute path of one of `files`."""
        return str(self.folder / name)

    def find(
        self,
        stem: str,
        *,
        class_name: str,
        split: str,
        allowed: Callable[[str], bool] = lambda name: True,
    ) -> str | None:
        """The file that an annotation means.

        Args:
            stem: File name without suffix; the suffix may be any of a video's.
            class_name: Of several files of that name, one in a folder called so is meant,
            split: or one in a folder for this split.
            allowed: Whether a file, by its path within the folder, may be taken at all.

        Returns:
            Absolute path, or None if there is none.
        """
        candidates = [name for name in self._by_stem.get(stem, ()) if allowed(name)]
        if not candidates:
            return None

        def fit(name: str) -> tuple[bool, bool]:
            parents = PurePosixPath(name).parts[:-1]
            in_class = class_key(class_name) in map(class_key, parents)
            return in_class, split in map(split_in_name, parents)

        best = max(map(fit, candidates))
        fitting = [name for name in candidates if fit(name) == best]
        self.num_ambiguous += len(fitting) > 1
        return self.path(fitting[0])

    def in_other_class(self, name: str, class_name: str, keys: dict[str, int]) -> bool:
        """Whether a file lies in a folder that is called like another class of `keys`."""
        parents = [class_key(part) for part in PurePosixPath(name).parts[:-1]]
        return class_key(class_name) not in parents and any(part in keys for part in parents)

    def notes(self) -> list[str]:
        """What a person should know of the search."""
        if not self.num_ambiguous:
            return []
        return [
            f"For {self.num_ambiguous} entries several files have the right name and fit equally well: "
            "the first by path was taken."
        ]
