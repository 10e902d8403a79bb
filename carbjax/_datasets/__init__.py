"""Public data sets by name."""

from carbjax._datasets.catalogue import DATA_SETS as DATA_SETS, DataSet as DataSet
from carbjax._datasets.fetch import Fetched as Fetched, fetch as fetch
