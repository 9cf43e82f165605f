"""Pictures of everybody, for administrators. The audit log says who looked and what was removed."""

from dataclasses import dataclass

from app.errors import PermissionDenied
from app.pictures.library import PictureLibrary, RemovedPictures
from app.spool import Spool
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database
from app.store.pages import Cursor, Page
from app.store.picture_lists import OrganizationViewer, PictureDetail, PictureFilter

LISTED = "pictures"
"""Target of the lines about lists and prunes."""
PRUNE_S = 2.0
"""Longest time of one call that prunes, in seconds: whoever calls shows the progress and calls again."""
NOT_A_READERS = (
    "This picture is private, and this admin API key is a reader's: it sees neither the picture nor its prompt."
)


@dataclass(frozen=True, slots=True)
class PictureAdministration:
    """Pictures for one administrator. `database` records them as author of the lines in the audit log; `user_id` is their own user,
    None for an admin key without one. A line that cannot be written refuses the look."""

    library: PictureLibrary
    database: Database
    user_id: str | None
    viewer: OrganizationViewer

    async def page(self, cursor: Cursor, wanted: PictureFilter, asked: Facts) -> Page[PictureDetail]:
        """Read a page of pictures and log it with `asked`, the filters as they were given. Raises InvalidValue for the cursor,
        StoreUnavailable."""
        page = await self.library.page(self.viewer, cursor, wanted)
        await self._log("pictures.listed", LISTED, None, {**asked, "pictures": len(page.records)})
        return page

    async def show(self, picture_id: str) -> PictureDetail:
        """Read one picture; the prompt of a private one of somebody else is logged. Raises NotFound, StoreUnavailable."""
        found = await self.library.show(self.viewer, picture_id)
        if self.may_read(found) and found.prompt is not None:
            await self._log_opening(found, "prompt")
        return found

    async def open(self, picture_id: str) -> tuple[PictureDetail, Spool]:
        """Open the bytes of a picture, which the caller closes; a private one of somebody else is logged. Raises NotFound,
        PermissionDenied for a reader, StoreUnavailable."""
        found = await self.openable(picture_id)
        spool = await self.library.open(found.record)
        try:
            await self._log_opening(found, "content")
        except BaseException:
            spool.close()
            raise
        return found, spool

    async def open_thumbnail(self, picture_id: str) -> tuple[PictureDetail, Spool]:
        """Open the thumbnail of a picture as `open` does its bytes; raises what that and `Thumbnails.open` raise."""
        found = await self.openable(picture_id)
        spool = await self.library.thumbnails.open(found.record)
        try:
            await self._log_opening(found, "thumbnail")
        except BaseException:
            spool.close()
            raise
        return found, spool

    async def delete(self, picture_id: str) -> None:
        """Remove a picture for good, and log it. Raises NotFound, StoreUnavailable, and BlobUnavailable while the bucket fails."""
        found = await self.library.show(self.viewer, picture_id)
        await self.library.remove([picture_id])
        record = found.record
        facts = {
            "user": found.user,
            "model": record.model,
            "bytes": record.bytes,
            "created_at_ms": record.created_at_ms,
        }
        await self._log("picture.deleted", picture_id, facts, None, record.project_id)

    async def prune(self) -> RemovedPictures:
        """Remove for PRUNE_S what is due, and log it. Raises StoreUnavailable."""
        removed = await self.library.prune(PRUNE_S)
        if removed.pictures:
            await self._log("pictures.pruned", LISTED, None, {"pictures": removed.pictures})
        return removed

    async def log_link(self, found: PictureDetail, expires_at_ms: int) -> None:
        """Log a link that the owner of a picture hands out, and until when it works. Raises StoreUnavailable."""
        facts = {"user": found.user, "expires_at_ms": expires_at_ms}
        await self._log("picture.linked", found.record.id, None, facts, found.record.project_id)

    def may_read(self, found: PictureDetail) -> bool:
        """Return whether the administrator may read the prompt of a picture and open it."""
        return self.viewer.may_open or found.record.visibility == "project" or self._is_own(found)

    async def openable(self, picture_id: str) -> PictureDetail:
        """Read a picture that the administrator may open. Raises NotFound, PermissionDenied, StoreUnavailable."""
        found = await self.library.show(self.viewer, picture_id)
        if not self.may_read(found):
            raise PermissionDenied(NOT_A_READERS)
        return found

    def _is_own(self, found: PictureDetail) -> bool:
        return self.user_id is not None and found.record.user_id == self.user_id

    async def _log_opening(self, found: PictureDetail, part: str) -> None:
        record = found.record
        if record.visibility == "private" and not self._is_own(found):
            facts = {"user": found.user, "part": part}
            await self._log("picture.opened", record.id, None, facts, record.project_id)

    async def _log(
        self, event: str, target_id: str, before: Facts | None, after: Facts | None, project_id: str | None = None
    ) -> None:
        async with self.database.transaction() as connection:
            await log_changes(connection, Change(event, target_id, before, after, project_id))
