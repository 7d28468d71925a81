from django.http import HttpResponse
from django.templatetags.static import static
from django.urls import path


def index(request):
    return HttpResponse(f"{static('pages/style.css')}\n", content_type="text/plain")


urlpatterns = [path("", index)]
