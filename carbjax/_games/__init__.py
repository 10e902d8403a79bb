"""Games: the carbon of serving only some of the players."""

from carbjax._games.base import AbstractGame as AbstractGame
from carbjax._games.blocks import independent_blocks as independent_blocks
from carbjax._games.replay import ReplayGame as ReplayGame
from carbjax._games.serving import ServingGame as ServingGame
from carbjax._games.table import TableGame as TableGame
