"""Pictures for whoever is signed in: the list that the address asks for, and who sees and changes which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.console.language import marked as _
from app.console.visit import Visit
from app.errors import NotFound, PermissionDenied
from app.pictures.administration import PictureAdministration
from app.pictures.library import KEEP_MS_MAX, PictureLibrary
from app.store import organization
from app.store.pages import Cursor, Page
from app.store.picture_lists import OrganizationViewer, PictureDetail, PictureFilter, PictureViewer, Viewer
from app.store.pictures import Visibility

Whose = Literal["mine", "shared", "all"]
PAGE_PICTURES = 60
PEOPLE_MAX = 50
"""Most people that one text in the filter stands for."""
WORDS_MAX = 10
GONE = _(
    "There is no such picture for you: it was deleted, its days have passed, or it is private and somebody else's. What it cost "
    "stays in the usage."
)
ONLY_LOOKS = _("You have the role of a reader, who changes nothing. An owner can give you another one.")
NOT_YOURS = _("Only whoever bought a picture shares it, keeps it longer or makes links to it.")
CLICK_FIRST = _(
    "This picture is private and somebody else's. An owner opens it by the button on its page, which is logged."
)


@dataclass(frozen=True, slots=True)
class PictureQuestion:
    """Question in the address: whose pictures, of which model, project and person, with which words in their prompts."""

    whose: Whose
    model: str
    project: str
    person: str
    words: str

    @classmethod
    def of(cls, visit: Visit) -> "PictureQuestion":
        """Read the question of an address. Readers begin with everybody's pictures, others with their own."""
        given = {name: visit.query.get(name, "").strip()[:200] for name in ("of", "model", "project", "person", "q")}
        usual: Whose = "all" if visit.role == "reader" else "mine"
        allowed: tuple[Whose, ...] = ("mine", "shared", "all") if visit.sees_all else ("mine", "shared")
        whose = next((each for each in allowed if each == given["of"]), usual)
        person = "" if whose == "mine" else given["person"]
        return cls(whose, given["model"], given["project"], person, given["q"])

    @property
    def is_filtered(self) -> bool:
        return bool(self.model or self.project or self.person or self.words)

    def query(self, **more: str | None) -> dict[str, str | None]:
        """Return the parameters of the address, with some replaced; None removes one."""
        own = {"of": self.whose, "model": self.model, "project": self.project, "person": self.person, "q": self.words}
        return {**own, **more}


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures for one person. Owners and readers see the metadata of all; the prompt and the bytes of a private picture of
    somebody else are an owner's only, through `administration`, which logs it."""

    visit: Visit

    @property
    def library(self) -> PictureLibrary:
        return self.visit.parts.gateway.library

    @property
    def own(self) -> PictureViewer:
        """Viewer of one's own pictures, and of those shared with one's projects."""
        return PictureViewer(self.visit.user.user_id)

    @property
    def viewer(self) -> Viewer:
        """Viewer of the metadata that the person may see."""
        return OrganizationViewer(may_open=False) if self.visit.sees_all else self.own

    @property
    def administration(self) -> PictureAdministration:
        """Pictures of everybody, for an owner: what is opened and deleted there is logged."""
        viewer = OrganizationViewer(may_open=self.visit.role == "owner")
        return PictureAdministration(self.library, self.visit.database, self.visit.user.user_id, viewer)

    @property
    def may_change(self) -> bool:
        return self.visit.role != "reader"

    def is_own(self, found: PictureDetail) -> bool:
        return found.record.user_id == self.visit.user.user_id

    def may_look(self, found: PictureDetail) -> bool:
        """Return whether the person sees the prompt and the bytes of a picture without opening it by a click that is logged."""
        return self.is_own(found) or found.record.visibility == "project"

    async def page(self, asked: PictureQuestion, after: str | None) -> Page[PictureDetail]:
        """Read a page of pictures. Raises InvalidValue for `after`, StoreUnavailable."""
        viewer = self.viewer if asked.whose == "all" else self.own
        wanted = PictureFilter(
            model=asked.model or None,
            project_id=asked.project or None,
            words=tuple(asked.words.split()[:WORDS_MAX]),
            shared=asked.whose == "shared",
            user_ids=await self._people(asked.person) if asked.person else None,
        )
        return await self.library.page(viewer, Cursor(after, PAGE_PICTURES, descending=True), wanted)

    async def show(self, picture_id: str) -> PictureDetail:
        """Read a picture whose metadata the person may see. Raises NotFound."""
        try:
            return await self.library.show(self.viewer, picture_id)
        except NotFound:
            raise NotFound(GONE) from None

    async def lookable(self, picture_id: str) -> PictureDetail:
        """Read a picture that the person sees without a click that is logged. Raises NotFound, PermissionDenied."""
        found = await self.show(picture_id)
        if not self.may_look(found):
            raise PermissionDenied(CLICK_FIRST)
        return found

    async def several(self, picture_ids: Sequence[str]) -> list[PictureDetail]:
        """Read those of these pictures that the person sees without a click that is logged, newest first."""
        found = await self.library.several(self.viewer, picture_ids)
        return [each for each in found if self.may_look(each)]

    def check_may_change(self) -> None:
        if not self.may_change:
            raise PermissionDenied(ONLY_LOOKS)

    async def share(self, found: PictureDetail, visibility: Visibility) -> None:
        """Share an own picture with its project, or make it private. Raises PermissionDenied, NotFound."""
        self.check_own(found)
        await self.library.change(self.own, found.record.id, visibility=visibility)

    async def keep(self, found: PictureDetail, longer_ms: int) -> None:
        """Keep an own picture longer, but not longer than ten years from now. Raises PermissionDenied, NotFound."""
        self.check_own(found)
        end_ms = min(found.record.kept_until_ms + longer_ms, self.library.clock.now_ms() + KEEP_MS_MAX)
        await self.library.change(self.own, found.record.id, kept_until_ms=end_ms)

    async def delete(self, found: PictureDetail) -> None:
        """Delete an own picture, or as an owner anybody's, which is logged. Raises PermissionDenied, NotFound, BlobUnavailable."""
        if self.is_own(found):
            await self.library.delete(self.own, found.record.id)
        elif self.visit.role == "owner":
            await self.administration.delete(found.record.id)
        else:
            raise PermissionDenied(NOT_YOURS)

    def check_own(self, found: PictureDetail) -> None:
        if not self.is_own(found):
            raise PermissionDenied(NOT_YOURS)

    async def _people(self, text: str) -> list[str]:
        return await self.visit.database.ask(organization.user_ids_like, text, PEOPLE_MAX)
