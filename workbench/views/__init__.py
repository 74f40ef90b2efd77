"""What people see and click: the dashboard, its panes, the notebooks' views, the meeting."""

from . import subshells

subshells.by_the_page()
