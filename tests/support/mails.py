"""What notify makes of the mails that others ask for."""

from services.notify.brand import Brand
from services.notify.library import Library
from services.notify.shelves import built_in

LIBRARY = Library(built_in(), Brand("Gatehouse", "#1f5f4a"))
