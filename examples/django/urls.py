from django.http import HttpResponse
from django.urls import path

from guestbook.models import Visit


def index(request):
    Visit.objects.create()
    return HttpResponse(f"Visit {Visit.objects.count()}\n", content_type="text/plain")


urlpatterns = [path("", index)]
