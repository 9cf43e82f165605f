"""What commands ask for, asked of a gateway elsewhere."""

from dataclasses import dataclass

from app.cli.remote.client import Client, Installation
from app.cli.remote.keys import Keys
from app.cli.remote.limits import Alerts, Limits, Models
from app.cli.remote.people import AdminKeys, Projects, Users
from app.cli.remote.prices import Prices
from app.cli.remote.reports import Reports


@dataclass(frozen=True)
class Remote(Users, Projects, AdminKeys, Keys, Limits, Models, Alerts, Prices, Reports):
    client: Client
    installation: Installation
